"""Byte transport over TCP for very many users: a socket and a watcher, without a greenlet.

The event loop calls back when data can be read; reading and all processing happen in that call.
Writing goes straight to the kernel. Bytes that it does not accept are buffered, up to a limit
beyond which senders have to wait.

TLS and WebSocket are layers with the same interface between this transport and the stream.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Final

from gevent import get_hub

from amoc.base.tcp import FEW_BYTES, READ, READ_BYTES, WRITE, Socket
from amoc.xmpp.transports import silence
from amoc.xmpp.transports.connection import OnData, OnLost, Senders

if TYPE_CHECKING:
    from gevent._types import _IoWatcher

SOFT_LIMIT: Final = 64 << 10
"""Unsent bytes beyond which a sender waits."""
HARD_LIMIT: Final = 4 << 20
"""Unsent bytes beyond which the connection counts as broken: handlers cannot wait."""
MAX_HELD_BYTES: Final = 16 << 10
"""Maximum size of the data that a user sends in one turn of the loop to be held and joined."""
MAX_FINAL_READS: Final = 256


def ignore(_: object) -> None:
    """Ignore callbacks after the end."""


class TcpTransport(Senders):
    """A connected socket.

    Attributes:
        closed: Whether it was closed, by either side.
        unsent: Bytes not yet accepted by the kernel.
    """

    __slots__ = (
        "_broken",
        "_buffer",
        "_held_back",
        "_loop",
        "_on_data",
        "_on_lost",
        "_reader",
        "_send",
        "_size",
        "_sock",
        "_turn",
        "_writer",
        "closed",
        "unsent",
    )

    def __init__(self, sock: Socket) -> None:
        """Take over a connected, non-blocking socket, and later close it; see `start`."""
        super().__init__()
        self._sock = sock
        self._send = sock.send
        self._size = FEW_BYTES
        self._on_data: OnData = ignore
        self._on_lost: OnLost = ignore
        self._loop = get_hub().loop
        self._buffer: bytearray | None = None  # unsent data
        self.unsent = 0
        self._turn = -1  # the loop's turn in which it sent last
        self._held_back = False  # unsent data waits for the end of this turn, not for the kernel
        self._writer: _IoWatcher | None = None
        self._broken = False
        self.closed = False
        self._reader = self._loop.io(sock.fileno(), READ)

    def start(self, on_data: OnData, on_lost: OnLost) -> None:
        """Start reading, or redirect received data to other callbacks; see `Transport`."""
        if self.closed:
            return
        if self._on_data is ignore:
            self._reader.start(self._readable)
        self._on_data = on_data
        self._on_lost = on_lost

    def write(self, data: bytes) -> None:
        """Send `data`, now or as soon as the kernel accepts it; see `wait_drained`.

        The first write in a turn of the loop is sent at once, later ones together at the end of the
        turn: a system call costs more than everything else in sending a message. Never waits.
        """
        if self.closed or self._broken:
            return
        if self._buffer is not None:
            self._buffer += data
        else:
            turn = self._loop.iteration
            if turn != self._turn:
                self._turn = turn
                try:  # inlined `_send_now`
                    sent = self._send(data)
                except OSError as error:
                    sent = self._refused(error)
                if sent < len(data):
                    self._keep_unsent(data, sent)
                return
            self._buffer = bytearray(data)
            self._held_back = True
            self._loop.run_callback(self._send_held)
        self.unsent = len(self._buffer)
        if self._held_back and self.unsent > MAX_HELD_BYTES:
            self._send_held()

    def _send_held(self) -> None:
        """Send held data, at the end of the turn or when there is enough of it."""
        if not self._held_back:
            return
        self._held_back = False
        data, self._buffer = self._buffer, None
        self.unsent = 0
        if data and not (self.closed or self._broken):
            self._send_now(data)

    def _send_now(self, data: bytes | bytearray) -> None:
        try:
            sent = self._send(data)
        except OSError as error:
            sent = self._refused(error)
        if sent < len(data):
            self._keep_unsent(data, sent)

    def _refused(self, error: OSError) -> int:
        """Note that the kernel took nothing; return 0."""
        if not isinstance(error, BlockingIOError | InterruptedError):
            # Deferred: the caller may be a handler, called for data read earlier.
            self._broken = True
            self._loop.run_callback(self._break, error)
        return 0

    def _keep_unsent(self, data: bytes | bytearray, sent: int) -> None:
        if self._broken:
            return
        self._buffer = bytearray(memoryview(data)[sent:])
        self.unsent = len(self._buffer)
        if self._writer is None:
            self._writer = self._loop.io(self._sock.fileno(), WRITE)
        self._writer.start(self._writable)

    def wait_drained(self, timeout: float) -> bool:
        """Wait until at most `SOFT_LIMIT` bytes are unsent, or the connection is lost.

        Args:
            timeout: In seconds.

        Returns:
            False on timeout.
        """
        if self.unsent <= SOFT_LIMIT:
            return True
        return self.wait_woken(timeout)

    def close(self) -> None:
        """Close the connection; data not accepted by the kernel is lost. Harmless if repeated."""
        self._leave(Socket.close)

    def cut(self, reset: bool) -> None:
        """Drop the connection as a crashed host would: by a reset, or silently."""
        self._leave(silence.reset if reset else silence.SILENT_SOCKETS.keep)

    def _leave(self, dispose: Callable[[Socket], object]) -> None:
        if self.closed:
            return
        self._send_held()
        self.closed = True
        self._reader.close()
        if self._writer is not None:
            self._writer.close()
        dispose(self._sock)
        self._buffer = None
        self.unsent = 0
        # Breaks reference cycles, so that the object is freed at once, without the collector.
        self._on_data = self._on_lost = ignore
        self.wake_senders()

    def _readable(self) -> None:
        size = self._size
        try:
            data = self._sock.recv(size)
        except (BlockingIOError, InterruptedError):
            return
        except OSError as error:
            self._end(error)
            return
        if not data:
            self._end(None)
            return
        if len(data) >= FEW_BYTES:
            if size == FEW_BYTES:  # data cut off here would need a parser
                data += self._read_on()
        elif size > FEW_BYTES:
            self._size = FEW_BYTES
        self._on_data(data)

    def _read_on(self) -> bytes:
        """Read what is left beyond the first few bytes."""
        self._size = READ_BYTES
        try:
            return self._sock.recv(READ_BYTES)
        except (BlockingIOError, InterruptedError):
            return b""
        except OSError as error:  # deferred until the earlier data is processed
            self._loop.run_callback(self._end, error)
            return b""

    def _writable(self) -> None:
        assert self._buffer is not None
        try:
            sent = self._send(self._buffer)
        except (BlockingIOError, InterruptedError):
            return
        except OSError as error:
            self._break(error)
            return
        del self._buffer[:sent]
        self.unsent = len(self._buffer)
        if not self.unsent:
            self._buffer = None
            assert self._writer is not None
            self._writer.stop()
        if self.unsent <= SOFT_LIMIT:
            self.wake_senders()

    def _break(self, error: OSError) -> None:
        if self.closed:
            return
        # The server may have sent a reason before it closed, which can still be read.
        for _ in range(MAX_FINAL_READS):
            try:
                data = self._sock.recv(READ_BYTES)
            except OSError:
                break
            if not data:
                break
            self._on_data(data)
            if self.closed:
                return
        self._end(error)

    def _end(self, error: OSError | None) -> None:
        if not self.closed:
            on_lost = self._on_lost
            self.close()
            on_lost(error)
