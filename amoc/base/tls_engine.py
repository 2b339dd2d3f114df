"""One end of TLS as bytes in and bytes out: no socket, no event loop; both ends use it.

What came from the peer goes into `received`, which gives the plain text that it completes;
`encrypt` takes plain text; either way `outgoing` has bytes for the peer then. OpenSSL works on two
buffers in memory, which keep the size they once had: bytes are fed to it in small pieces, so that a
large burst does not leave a large buffer behind for the life of the connection.

A write may have to wait for something from the peer (a renegotiation in TLS 1.2). Its plain text is
kept, and encrypted when that has come.
"""

from __future__ import annotations

import ssl
from contextlib import suppress
from typing import Final

FIRST_PIECE: Final = 256
"""Fed at once while few bytes have come: a user that logs in and waits keeps no more than that."""
PIECE: Final = 2048
"""Fed at once from then on."""
FEW_BYTES: Final = 8192
READ_BYTES: Final = 16 << 10
"""The most plain text in a TLS record."""


class TlsEngine:
    """A TLS connection without its socket.

    Attributes:
        established: Whether the handshake is done.
        ended: Whether the peer has said that it sends no more (close_notify).
        to_peer: What is `outgoing`.
        waiting: How much plain text waits to be encrypted.
    """

    __slots__ = (
        *("_few", "_incoming", "_ssl", "_unencrypted", "ended", "established", "to_peer"),
        "waiting",
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
            context: Certificates, versions, what is verified.
            server_side: Whether this is the server's end.
            server_name: The name that the client asks for (SNI), and that is verified.
            session: An earlier connection's, to be resumed; of the same context.
        """
        self._incoming = ssl.MemoryBIO()
        self.to_peer = ssl.MemoryBIO()
        self._ssl = context.wrap_bio(
            self._incoming, self.to_peer, server_side, server_name, session
        )
        self._unencrypted: bytearray | None = None
        self._few = FEW_BYTES
        self.waiting = 0
        self.established = False
        self.ended = False

    def start(self) -> None:
        """Begin the handshake: a client's first bytes are `outgoing` then."""
        self._shake_hands()

    def received(self, data: bytes) -> bytes:
        """The plain text that `data`, the peer's next bytes, completes.

        There may be something `outgoing` afterwards, also when this raises: an alert then.

        Raises:
            ssl.SSLError: The peer broke the protocol, or cannot be trusted.
        """
        piece, length = PIECE, len(data)
        if self._few > 0:
            piece = FIRST_PIECE
            self._few -= length
        if length <= piece:
            self._incoming.write(data)
            return self._read(length or READ_BYTES)
        view = memoryview(data)
        texts = []
        for at in range(0, length, piece):
            self._incoming.write(view[at : at + piece])
            texts.append(self._read(READ_BYTES))
        return b"".join(texts)

    def encrypt(self, data: bytes | bytearray) -> None:
        """Encrypt plain text; what comes before the end of the handshake waits for it."""
        if self._unencrypted is not None or not self.established:
            if self._unencrypted is None:
                self._unencrypted = bytearray()
            self._unencrypted += data
            self.waiting = len(self._unencrypted)
            return
        sent = self._write(data)
        if sent < len(data):
            self._unencrypted = bytearray(memoryview(data)[sent:])
            self.waiting = len(self._unencrypted)

    def outgoing(self) -> bytes:
        """Bytes for the peer; empty when there are none."""
        return self.to_peer.read() if self.to_peer.pending else b""

    def finish(self) -> None:
        """Say that no more is sent (close_notify); that is `outgoing` then. Never fails."""
        if not self.established:
            return
        with suppress(ssl.SSLError):  # it waits for the peer's, which is not needed
            self._ssl.unwrap()

    # About the connection, when it is established

    @property
    def resumed(self) -> bool:
        """Whether it resumed the session that was given."""
        return bool(self._ssl.session_reused)

    @property
    def session(self) -> ssl.SSLSession | None:
        """A session by which the next connection can be resumed; in TLS 1.3 after the handshake."""
        session = self._ssl.session
        return session if session is not None and _is_resumable(session) else None

    @property
    def verifies(self) -> bool:
        """Whether the peer's certificate has to be valid."""
        return self._ssl.context.verify_mode != ssl.CERT_NONE

    @property
    def version(self) -> str:
        """The protocol, such as ``TLSv1.3``."""
        return self._ssl.version() or ""

    def peer_certificate(self) -> bytes | None:
        """The peer's certificate as DER; None without one."""
        return self._ssl.getpeercert(binary_form=True)

    def tls_unique(self) -> bytes | None:
        """What RFC 5929 calls tls-unique; None in TLS 1.3, which has none."""
        return None if self.version == "TLSv1.3" else self._ssl.get_channel_binding("tls-unique")

    def _shake_hands(self) -> None:
        try:
            self._ssl.do_handshake()
        except ssl.SSLWantReadError:
            return
        self.established = True
        self._encrypt_waiting()

    def _read(self, size: int) -> bytes:
        """The plain text that there is, `size` bytes at first: all of it, as a rule."""
        if not self.established:
            self._shake_hands()
            if not self.established:
                return b""
        incoming, read = self._incoming, self._ssl.read
        texts: list[bytes] = []
        try:
            # An empty text is the peer's close_notify. One more read when nothing is left would
            # only raise; but a record may be inside OpenSSL while nothing is in its buffer.
            while text := read(size):
                size = READ_BYTES
                is_last = not incoming.pending and not self._ssl.pending()
                if is_last and not texts and self._unencrypted is None:
                    return text  # as nearly always
                texts.append(text)
                if is_last:
                    break
            else:
                self.ended = True
        except ssl.SSLWantReadError:
            pass
        except ssl.SSLZeroReturnError:
            self.ended = True
        if self._unencrypted is not None:
            self._encrypt_waiting()
        return b"".join(texts)

    def _encrypt_waiting(self) -> None:
        waiting = self._unencrypted
        if waiting is None:
            return
        del waiting[: self._write(waiting)]
        self.waiting = len(waiting)
        if not waiting:
            self._unencrypted = None

    def _write(self, data: bytes | bytearray) -> int:
        """Encrypt as much of `data` as is possible now; how much."""
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
