"""TLS without I/O, for clients and servers: bytes in, bytes out, no socket.

Bytes from the peer are passed to `received`, which returns the plaintext they complete. `encrypt`
takes plaintext. After either, `outgoing` returns bytes for the peer.

OpenSSL reads from one memory buffer and writes to another. Both are empty between two calls, as
OpenSSL keeps an unfinished record itself. So all connections of a thread share them: a pair of its
own would take 1.8 kB per connection, and as much as its largest burst for as long as it lives.
Only the garbage collector can interrupt a call, to close a forgotten connection, which then goes
without using the buffers.

A write may have to wait for the peer (a renegotiation in TLS 1.2). Its plaintext is kept and
encrypted later.
"""

from __future__ import annotations

import ssl
from contextlib import suppress
from typing import Final
from weakref import WeakKeyDictionary

from gevent import get_hub
from gevent.hub import Hub

READ_BYTES: Final = 16 << 10
"""Maximum plaintext in a TLS record."""


class _Buffers:
    """The buffers of all connections of a thread.

    Attributes:
        incoming: What OpenSSL is to read.
        outgoing: What it has written.
        in_use: Whether a call uses them, so that they may not be empty.
    """

    __slots__ = ("in_use", "incoming", "outgoing")

    def __init__(self) -> None:
        self.incoming, self.outgoing = ssl.MemoryBIO(), ssl.MemoryBIO()
        self.in_use = False


_buffers: Final[WeakKeyDictionary[Hub, _Buffers]] = WeakKeyDictionary()
"""By the thread's hub."""


class TlsEngine:
    """A TLS connection without its socket.

    Attributes:
        established: Whether the handshake is done.
        ended: Whether the peer has ended its side (close_notify).
        to_peer: Bytes for the peer that were not taken with `outgoing` yet.
        waiting: Bytes of plaintext that wait to be encrypted.
    """

    __slots__ = (
        *("_buffers", "_ssl", "_unencrypted", "ended", "established", "to_peer", "waiting"),
    )

    def __init__(
        self,
        context: ssl.SSLContext,
        *,
        server_side: bool = False,
        server_name: str | None = None,
        session: ssl.SSLSession | None = None,
    ) -> None:
        """Prepare a connection; see `start`.

        Args:
            context: Determines certificates, versions and verification.
            server_side: Whether this is the server's end.
            server_name: The name requested by the client (SNI) and verified.
            session: A session to resume, from an earlier connection with the same context.
        """
        hub = get_hub()
        buffers = _buffers.get(hub)
        if buffers is None:
            buffers = _buffers[hub] = _Buffers()
        self._buffers = buffers
        self._ssl = context.wrap_bio(
            buffers.incoming, buffers.outgoing, server_side, server_name, session
        )
        self.to_peer = b""
        self._unencrypted: bytearray | None = None
        self.waiting = 0
        self.established = False
        self.ended = False

    def start(self) -> None:
        """Begin the handshake; a client's first bytes are then `outgoing`."""
        buffers = self._buffers
        buffers.in_use = True
        try:
            self._shake_hands()
        finally:
            self.to_peer += buffers.outgoing.read()
            buffers.in_use = False

    def received(self, data: bytes) -> bytes:
        """Decrypt `data`, the peer's next bytes, and return the plaintext they complete.

        There may be `outgoing` bytes afterwards; if this raises, an alert.

        Raises:
            ssl.SSLError: The peer violated the protocol, or cannot be trusted.
        """
        buffers = self._buffers
        buffers.in_use = True
        try:
            buffers.incoming.write(data)
            return self._read(len(data) or READ_BYTES)
        except BaseException:  # of TLS, or of a signal's handler
            buffers.incoming.read()  # nobody else may see the rest
            raise
        finally:
            if buffers.outgoing.pending:
                self.to_peer += buffers.outgoing.read()
            buffers.in_use = False

    def encrypt(self, data: bytes | bytearray) -> None:
        """Encrypt plaintext; before the end of the handshake it is kept until then."""
        buffers = self._buffers
        if buffers.in_use or self._unencrypted is not None or not self.established:
            if self._unencrypted is None:
                self._unencrypted = bytearray()
            self._unencrypted += data
            self.waiting = len(self._unencrypted)
            return
        buffers.in_use = True
        try:
            sent = self._write(data)
        finally:
            self.to_peer += buffers.outgoing.read()
            buffers.in_use = False
        if sent < len(data):
            self._unencrypted = bytearray(memoryview(data)[sent:])
            self.waiting = len(self._unencrypted)

    def outgoing(self) -> bytes:
        """Return bytes for the peer; empty if there are none."""
        data, self.to_peer = self.to_peer, b""
        return data

    def finish(self) -> None:
        """End this side (close_notify), which is then `outgoing`. Never fails."""
        buffers = self._buffers
        if buffers.in_use or not self.established:
            return
        buffers.in_use = True
        try:
            with suppress(ssl.SSLError):  # it wants the peer's close_notify, which is not needed
                self._ssl.unwrap()
        finally:
            self.to_peer += buffers.outgoing.read()
            buffers.in_use = False

    # Properties of the established connection

    @property
    def resumed(self) -> bool:
        """Whether it resumed the given session."""
        return bool(self._ssl.session_reused)

    @property
    def session(self) -> ssl.SSLSession | None:
        """A session that the next connection can resume; in TLS 1.3 it follows the handshake."""
        session = self._ssl.session
        return session if session is not None and _is_resumable(session) else None

    @property
    def verifies(self) -> bool:
        """Whether the peer's certificate must be valid."""
        return self._ssl.context.verify_mode != ssl.CERT_NONE

    @property
    def version(self) -> str:
        """The protocol, such as ``TLSv1.3``."""
        return self._ssl.version() or ""

    def peer_certificate(self) -> bytes | None:
        """Return the peer's certificate as DER; None if it has none."""
        return self._ssl.getpeercert(binary_form=True)

    def tls_unique(self) -> bytes | None:
        """Return the channel binding tls-unique (RFC 5929); None in TLS 1.3, which has none."""
        return None if self.version == "TLSv1.3" else self._ssl.get_channel_binding("tls-unique")

    def _shake_hands(self) -> None:
        try:
            self._ssl.do_handshake()
        except ssl.SSLWantReadError:
            return
        self.established = True
        self._encrypt_waiting()

    def _read(self, size: int) -> bytes:
        """Return all available plaintext; the first read asks for `size` bytes."""
        if not self.established:
            self._shake_hands()
            if not self.established:
                return b""
        incoming, read = self._buffers.incoming, self._ssl.read
        texts: list[bytes] = []
        try:
            # An empty result is the peer's close_notify. Do not read again if nothing is left, as
            # that would raise; a record may be inside OpenSSL although its buffer is empty.
            while text := read(size):
                size = READ_BYTES
                is_last = not incoming.pending and not self._ssl.pending()
                if is_last and not texts and self._unencrypted is None:
                    return text  # the usual case
                texts.append(text)
                if is_last:
                    break
            else:
                self._ended()
        except ssl.SSLWantReadError:
            pass
        except ssl.SSLZeroReturnError:
            self._ended()
        if self._unencrypted is not None:
            self._encrypt_waiting()
        return b"".join(texts)

    def _ended(self) -> None:
        self.ended = True
        self._buffers.incoming.read()  # whatever follows counts for nobody

    def _encrypt_waiting(self) -> None:
        waiting = self._unencrypted
        if waiting is None:
            return
        del waiting[: self._write(waiting)]
        self.waiting = len(waiting)
        if not waiting:
            self._unencrypted = None

    def _write(self, data: bytes | bytearray) -> int:
        """Encrypt as much of `data` as is possible now; return how much."""
        length, sent = len(data), 0
        try:
            sent = self._ssl.write(data)
            if sent < length:
                with memoryview(data) as view:
                    while sent < length:
                        sent += self._ssl.write(view[sent:])
        except ssl.SSLWantReadError:
            pass
        return sent


def _is_resumable(session: ssl.SSLSession) -> bool:
    return session.has_ticket or bool(session.id)
