"""Bytes over TCP for very many users: a socket, a watcher, and no greenlet of its own.

The event loop calls back when there is something to read; reading and all that follows happens in
that call. Writing goes straight to the kernel; only what it does not take is kept, up to a limit,
and a sender of more has to wait until the server has taken it.

TLS and WebSocket are layers with the same interface between this and the stream.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Final

from gevent import get_hub

from amoc.base.tcp import FEW_BYTES, READ, READ_BYTES, WRITE, Socket
from amoc.base.waiting import Waiter
from amoc.xmpp.transports import silence
from amoc.xmpp.transports.connection import OnData, OnLost

if TYPE_CHECKING:
    from gevent._types import _IoWatcher

SOFT_LIMIT: Final = 64 << 10
"""Unsent bytes beyond which a sender waits."""
HARD_LIMIT: Final = 4 << 20
"""Unsent bytes beyond which the connection counts as broken: handlers cannot wait."""
MAX_HELD_BYTES: Final = 16 << 10
"""What a user says in one turn of the loop goes out together, up to so many bytes."""
MAX_FINAL_READS: Final = 256


def ignore(_: object) -> None:
    """Called for what happens after the end."""


class TcpTransport:
    """A connected socket.

    Attributes:
        closed: Whether it was closed, by either side.
        unsent: Bytes that the kernel has not taken yet.
    """

    __slots__ = (
        "_broken",
        "_buffer",
        "_drained",
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
        """Take over a connected, non-blocking socket, which this closes; see `start`."""
        self._sock = sock
        self._send = sock.send
        self._size = FEW_BYTES
        self._on_data: OnData = ignore
        self._on_lost: OnLost = ignore
        self._loop = get_hub().loop
        self._buffer: bytearray | None = None  # what is unsent
        self.unsent = 0
        self._turn = -1  # of the loop, in which it has sent last
        self._held_back = False  # what is unsent waits for the end of this turn, not for the kernel
        self._drained: tuple[Waiter[bool], ...] = ()
        self._writer: _IoWatcher | None = None
        self._broken = False
        self.closed = False
        self._reader = self._loop.io(sock.fileno(), READ)

    def start(self, on_data: OnData, on_lost: OnLost) -> None:
        """Begin to read, or let another take over what is read; see `Transport`."""
        if self.closed:
            return
        if self._on_data is ignore:
            self._reader.start(self._readable)
        self._on_data = on_data
        self._on_lost = on_lost

    def write(self, data: bytes) -> None:
        """Send `data`, or what the kernel does not take as soon as it does; see `wait_drained`.

        The first of a turn of the loop goes out at once, and what follows at the end of the turn:
        one call of the system costs more than all the rest of sending a message. Never waits.
        """
        if self.closed or self._broken:
            return
        if self._buffer is not None:
            self._buffer += data
        else:
            turn = self._loop.iteration
            if turn != self._turn:
                self._turn = turn
                self._send_now(data)
                return
            self._buffer = bytearray(data)
            self._held_back = True
            self._loop.run_callback(self._send_held)
        self.unsent = len(self._buffer)
        if self._held_back and self.unsent > MAX_HELD_BYTES:
            self._send_held()

    def _send_held(self) -> None:
        """The turn is over, or enough has come together."""
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
        except (BlockingIOError, InterruptedError):
            sent = 0
        except OSError as error:
            # Not now: the caller may be a handler, called for what was read before.
            self._broken = True
            self._loop.run_callback(self._break, error)
            return
        if sent < len(data):
            self._buffer = bytearray(memoryview(data)[sent:])
            self.unsent = len(self._buffer)
            if self._writer is None:
                self._writer = self._loop.io(self._sock.fileno(), WRITE)
            self._writer.start(self._writable)

    def wait_drained(self, timeout: float) -> bool:
        """Wait until no more than `SOFT_LIMIT` bytes are unsent, or the connection is gone.

        Args:
            timeout: In seconds.

        Returns:
            Whether that was so in time.
        """
        if self.unsent <= SOFT_LIMIT:
            return True
        waiter: Waiter[bool] = Waiter()
        self._drained = (*self._drained, waiter)
        try:
            return waiter.wait(timeout)
        finally:
            self._drained = tuple(one for one in self._drained if one is not waiter)

    def close(self) -> None:
        """Close the connection; what the kernel has not taken is lost. Harmless the second time."""
        self._leave(Socket.close)

    def cut(self, reset: bool) -> None:
        """Be gone as a crashed host is: by a reset, or in silence."""
        self._leave(silence.reset if reset else silence.KEEPER.keep)

    def _leave(self, dispose: Callable[[Socket], object]) -> None:
        if self.closed:
            return
        self._send_held()
        self.closed = True
        self._reader.stop()
        self._reader.close()
        if self._writer is not None:
            self._writer.stop()
            self._writer.close()
        dispose(self._sock)
        self._buffer = None
        self.unsent = 0
        # No reference cycle: what is closed is freed at once, not when the collector comes.
        self._on_data = self._on_lost = ignore
        self._wake_senders()

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
            if size == FEW_BYTES:  # what is cut here takes a parser
                data += self._read_on()
        elif size > FEW_BYTES:
            self._size = FEW_BYTES
        self._on_data(data)

    def _read_on(self) -> bytes:
        """What there is beyond the few bytes that were read."""
        self._size = READ_BYTES
        try:
            return self._sock.recv(READ_BYTES)
        except (BlockingIOError, InterruptedError):
            return b""
        except OSError as error:  # after what was read before it
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
            self._wake_senders()

    def _break(self, error: OSError) -> None:
        if self.closed:
            return
        # The server may have said why before it closed; that is still there to be read.
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

    def _wake_senders(self) -> None:
        waiters, self._drained = self._drained, ()
        for waiter in waiters:
            waiter.set(True)
            self._loop.run_callback(waiter.wake)  # the sender must not run inside this call
