"""One client's TCP connection: readiness callbacks instead of greenlets, one send per loop turn.

The event loop calls `_readable()` when bytes have arrived; they are parsed and routed at once, in
that callback. Data written to a client meanwhile is collected and sent when the turn ends, so a
client that gets ten messages in one turn costs one system call. A greenlet per connection would
cost a stack and two switches per message: in an experiment with 500 connections, receiving and
sending a message took 10 µs that way, and 5 µs this way.

A client that reads too slowly gets a bounded queue; beyond it, or after some time without progress,
its stream is ended. A stream that ends is not simply closed: the kernel would answer unread input
with a reset, and the client would lose the stream error with the reason. So its input is read and
discarded until it closes its side, or for `Limits.linger_s`.
"""

from __future__ import annotations

import logging
from _socket import SHUT_WR
from _socket import socket as Socket  # noqa: N812 - the plain class, even if patched
from contextlib import suppress
from enum import IntEnum
from ssl import SSLError
from typing import TYPE_CHECKING, Final, TypeAlias, cast

from amoc.base.tls_engine import TlsEngine
from amoc.xmppd.relay import READ, WRITE, Relayed

if TYPE_CHECKING:
    from gevent._types import _IoWatcher

    from amoc.xmpp.wire.parser import Cut, Parser
    from amoc.xmpp.wire.websocket import FrameReader
    from amoc.xmppd.listener import Server
    from amoc.xmppd.session import Session
    from amoc.xmppd.websocket import FirstBytes, WebSocketEnd

    Reader: TypeAlias = FirstBytes | Session | WebSocketEnd

log = logging.getLogger("amoc.xmppd")

CHUNK_BYTES: Final = 16_384


class Life(IntEnum):
    """Stages of a transport, which only ever advances."""

    OPEN = 0
    CHOKED = 1
    """Too much is queued for it: nothing more is added, and its stream is about to be ended."""
    LINGERING = 2
    """Nothing more is written. Queued data is being sent, and input is discarded."""
    CLOSED = 3


_OPEN: Final = Life.OPEN


class _EndedSession:
    """Replaces the session of a closed transport."""

    framer: Final = None

    def fail(self, condition: str, text: str = "") -> None:
        """Do nothing: it has ended."""

    def lost(self) -> None:
        """Do nothing: it has ended."""


ENDED: Final = cast("Reader", _EndedSession())


class Transport:
    """A connected socket with its two directions.

    Attributes:
        session: Uses the transport, or stands in for a session; must be set before `start()`.
    """

    __slots__ = (
        "_eof",
        "_life",
        "_out",
        "_reader",
        "_sealed",
        "_server",
        "_socket",
        "_tls",
        "_writer",
        "session",
    )

    session: Reader

    def __init__(self, server: Server, sock: Socket | Relayed) -> None:
        self._server = server
        self._socket = sock
        self._out: bytes | bytearray | None = None
        self._tls: TlsEngine | None = None
        self._sealed: bytes | bytearray | None = None  # encrypted and not sent yet
        self._life = Life.OPEN
        self._eof = False
        self._writer: _IoWatcher | None = None
        self._reader: _IoWatcher | Relayed = (
            sock if isinstance(sock, Relayed) else server.loop.io(sock.fileno(), READ)
        )

    def __repr__(self) -> str:
        queued = len(self._out) if self._out is not None else 0
        return f"<Transport {self._life.name.lower()}, {queued} bytes queued>"

    def start(self) -> None:
        """Start reading."""
        self._server.logging_in.restart(self)
        self._reader.start(self._readable)

    def logged_in(self) -> None:
        """Note that the client has logged in and bound a resource."""
        self._server.logging_in.discard(self)

    @property
    def can_start_tls(self) -> bool:
        """Whether TLS is available, and not in use yet."""
        return self._tls is None and self._server.domain.tls is not None

    def start_tls(self, chunk: bytes = b"") -> None:
        """Switch to TLS after the data written so far; `chunk` has arrived already."""
        assert self._server.domain.tls is not None
        self._sealed, self._out = self._out, None
        self._tls = TlsEngine(self._server.domain.tls, server_side=True)
        if chunk:
            self._take(chunk)

    def write(self, data: bytes) -> None:
        """Queue `data`, to be sent when this turn of the loop ends. Never blocks or raises."""
        if self._life is not _OPEN:
            return
        if self._out is None:
            self._out = data
            self._server.dirty.append(self)
            return
        queued = self._append(data)
        if queued > self._server.limits.queue_bytes:
            # Deferred: the caller may be writing to many, and ending one stream writes to others.
            self._life = Life.CHOKED
            self._server.choked.append(self)

    def finish(self, *last_words: bytes) -> None:
        """Send the last bytes, then close when the client has read them, or after a while."""
        if self._life >= Life.LINGERING:
            return
        # Even beyond the limit: the queue ends with a whole stanza, so these bytes can follow it.
        if self._out is None:
            self._server.dirty.append(self)
        self._append(b"".join(last_words))
        self._life = Life.LINGERING
        self._server.logging_in.discard(self)
        self._server.mid_stanza.discard(self)
        self._server.lingering.restart(self)

    def close(self) -> None:
        """Close at once; unsent data is lost."""
        if self._life is Life.CLOSED:
            return
        self._life = Life.CLOSED
        self._out = self._sealed = self._tls = None
        self._drop_writer()
        self._reader.close()
        self._socket.close()
        self._server.forget(self)
        session, self.session = self.session, ENDED  # breaks the reference cycle
        session.lost()

    def flush(self) -> None:
        """Send queued data; the rest follows when the client has read some."""
        out = self._out if self._tls is None else self._seal(self._tls)
        if out is None:
            return
        try:
            sent = self._socket.send(out)
        except (BlockingIOError, InterruptedError):
            sent = 0
        except OSError:
            self.close()
            return
        self._server.bytes_out += sent
        if sent == len(out):
            self._sent(None)
            if self._out is not None:  # over TLS, data queued while the rest was being sent
                self._server.dirty.append(self)
                return
            if self._writer is not None:
                self._drop_writer()
            if self._life is Life.LINGERING:
                self._sent_everything()
            return
        if sent:
            self._sent(bytearray(memoryview(out)[sent:]))
        if self._writer is None:
            assert not isinstance(self._socket, Relayed)  # it accepts everything
            self._writer = self._server.loop.io(self._socket.fileno(), WRITE)
            self._writer.start(self.flush)
            self._server.stalled.restart(self)
        elif sent:
            self._server.stalled.restart(self)

    def _sent(self, rest: bytearray | None) -> None:
        if self._tls is None:
            self._out = rest
        else:
            self._sealed = rest

    def _seal(self, tls: TlsEngine) -> bytes | bytearray | None:
        """Return what to send next over TLS; no more is encrypted before that has been sent."""
        if self._sealed is None:
            try:
                if self._out is not None and tls.established:
                    plain, self._out = self._out, None
                    tls.encrypt(plain)
            except SSLError:
                self.close()
                return None
            self._sealed = tls.outgoing() or None
        return self._sealed

    def _append(self, data: bytes) -> int:
        out = self._out
        if type(out) is not bytearray:
            self._out = out = bytearray(out or b"")
        out += data
        return len(out)

    def _drop_writer(self) -> None:
        if self._writer is not None:
            self._writer.close()
            self._writer = None
            self._server.stalled.discard(self)

    def end_choked(self) -> None:
        """End the stream of a client for which too much is queued."""
        self._server.domain.counts.slow_readers += 1
        limit = self._server.limits.queue_bytes
        self.session.fail("policy-violation", f"more than {limit} bytes are waiting to be read")

    def _sent_everything(self) -> None:
        if self._eof:
            self.close()
            return
        try:
            if self._tls is not None:
                self._tls.finish()
                self._socket.send(self._tls.outgoing())
            self._socket.shutdown(SHUT_WR)
        except OSError:
            self.close()

    def _readable(self) -> None:
        try:
            chunk = self._socket.recv(CHUNK_BYTES)
        except (BlockingIOError, InterruptedError):
            return
        except OSError:
            self.close()
            return
        if not chunk:
            self._ended()
        elif self._life is _OPEN:
            self._server.bytes_in += len(chunk)
            self._take(chunk)

    def _take(self, chunk: bytes) -> None:
        tls = self._tls
        if tls is not None:
            chunk = self._opened(tls, chunk)
        if chunk:
            framer = self.session.framer
            waiting = framer.parser is not None and framer.unfinished
            self.session.received(chunk)
            if waiting or framer.parser is not None:
                self._watch(framer.parser, new=not waiting)
        if tls is not None and tls.ended:
            self._ended()

    def _opened(self, tls: TlsEngine, chunk: bytes) -> bytes:
        """Return the plaintext that `chunk` completes."""
        established = tls.established
        try:
            text = tls.received(chunk)
        except SSLError as error:
            log.debug("TLS with a client failed: %s", error)
            with suppress(OSError):
                self._socket.send(tls.outgoing())  # an alert with the reason
            self.close()
            return b""
        if tls.established and not established:
            counts = self._server.domain.counts
            counts.tls_handshakes += 1
            counts.tls_resumed += tls.resumed
        if not established or tls.to_peer:
            self._server.dirty.append(self)
        return text

    def _watch(self, parser: Parser[Cut] | FrameReader | None, *, new: bool) -> None:
        # The time limit is for one stanza, however slowly its bytes arrive.
        if parser is None or not parser.pending or self._life is not Life.OPEN:
            self._server.mid_stanza.discard(self)
        elif new or parser.completed:
            self._server.mid_stanza.restart(self)

    def _ended(self) -> None:
        if self._life is Life.LINGERING and (self._out or self._sealed):
            # It still reads, though it sends no more; the end of input would be reported again and
            # again.
            self._eof = True
            self._reader.stop()
        else:
            self.close()
