"""The common base of both ends of the bus: one socket for sending, one for receiving.

The descriptor of a ZeroMQ socket becomes readable when a message may have arrived, until it is
read. A watcher can miss this (any other call on the socket may consume the event). Therefore no
wait is longer than `TICK_S`, and after each the socket is checked.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from functools import partial
from math import inf
from typing import TYPE_CHECKING, Self

import zmq
from gevent import get_hub, sleep

from amoc.base.clock import now_ns
from amoc.base.loop_yield import yield_to_loop
from amoc.base.ticks import to_next_tick_s
from amoc.base.waiting import Notify
from amoc.ipc.messages.codec import Codec
from amoc.ipc.messages.lifecycle import Hello, Note

if TYPE_CHECKING:
    from gevent._types import _TimerWatcher

TICK_S = 1.0
"""Maximum delay of a message after a missed wake-up."""
TURN_NS = 10_000_000
"""How long reading may go on before other greenlets get a turn."""
_READ = 1
"""libev's flag for readability."""
LINGER_MS = 2_000
"""How long closing a context may wait for unsent messages."""
MAX_UNACKED = 20_000
"""Commands in flight to one child, beyond which it counts as broken."""
MAX_BATCHES = 50
"""Queue limit for batches of reports of one child, at either end; beyond, it holds them back."""
OWN: Codec[Hello | Note] = Codec(Hello | Note)
"""The bus's own reports."""
WELCOME = "welcome"
"""The bus's own first command, which tells the child that further commands will arrive."""


def send_nowait(socket: zmq.Socket[bytes], data: bytes) -> bool:
    """Send `data` if there is room in the queue; return whether there was."""
    try:
        socket.send(data, zmq.NOBLOCK)
    except zmq.Again:
        return False
    return True


class SocketReader:
    """Waits until a socket may have something to read.

    It uses one watcher, which is stopped when it fires, until the next wait: the descriptor stays
    readable until it is read, and the reader may be busy for long. One timer serves the ticks,
    which coincide with other periodic work of this process (`amoc.base.ticks`).

    Attributes:
        gather_s: Extra wait for more messages once one has arrived; 0 for none.
    """

    def __init__(
        self, socket: zmq.Socket[bytes], receive: Callable[[], bytes] | None = None
    ) -> None:
        """Read from `socket`, with `receive` if more than the messages is needed."""
        self.gather_s = 0.0
        self._socket = socket
        self._receive = receive or partial(socket.recv, zmq.NOBLOCK)
        self._bell = Notify()
        self._closed = False
        self._watcher = get_hub().loop.io(int(socket.getsockopt(zmq.FD)), _READ)
        self._ticks: _TimerWatcher | None = None

    def close(self) -> None:
        """Stop watching, and end all readers. Call it before the socket is closed."""
        self._closed = True
        for watcher in (self._watcher, self._ticks):
            if watcher is not None:
                watcher.close()
        self._bell.ring()

    def wait(self, timeout_s: float = inf) -> None:
        """Wait for something to read, for the next tick, or for `timeout_s`."""
        if self._closed:
            return
        self._watcher.start(self.on_readable)
        if self._ticks is None:
            ticks = self._ticks = get_hub().loop.timer(to_next_tick_s(TICK_S))
            ticks.start(self._tick, ticks)
        self._bell.wait(timeout_s)

    def _tick(self, ticks: _TimerWatcher) -> None:
        ticks.close()
        self._ticks = None  # made again at the next wait, since the ticks may be realigned
        self._bell.ring()

    def on_readable(self) -> None:
        """Wake the reader, and stop watching until its next wait."""
        self._watcher.stop()
        self._bell.ring()

    def multipart(self) -> Iterator[list[bytes]]:
        """Yield messages of several frames as they arrive, until the socket is closed."""
        while not self._closed:
            try:
                frames = self._socket.recv_multipart(zmq.NOBLOCK)
            except zmq.Again:
                self.wait()
            else:
                yield frames

    def messages(self) -> Iterator[bytes | None]:
        """Yield single-frame messages as they arrive, until the socket is closed.

        Yields None at least every `TICK_S`, for periodic work of the caller.
        """
        turn_ends = now_ns() + TURN_NS
        while not self._closed:
            try:
                message = self._receive()
            except zmq.Again:
                self.wait()
                if self.gather_s and not self._closed:
                    sleep(self.gather_s)
                yield None
                turn_ends = now_ns() + TURN_NS
            else:
                yield message
            if now_ns() > turn_ends:
                yield_to_loop()  # give others a turn, however much there is to read
                turn_ends = now_ns() + TURN_NS


class End:
    """A socket for sending and one for receiving.

    Attributes:
        reader: Reads the receiving socket.
    """

    def __init__(
        self,
        context: zmq.Context[zmq.Socket[bytes]],
        sending: tuple[int, int],
        receiving: tuple[int, int],
        receive: Callable[[], bytes] | None = None,
    ) -> None:
        """Create the sockets, each given by its type and the queue limit per peer."""
        self._send_socket, self._receive_socket = (
            context.socket(kind) for kind, _ in (sending, receiving)
        )
        for socket, (_, most) in ((self._send_socket, sending), (self._receive_socket, receiving)):
            socket.set_hwm(most)
            socket.linger = LINGER_MS
        self.reader = SocketReader(self._receive_socket, receive)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Stop receiving, and let pending messages be sent within `LINGER_MS`."""
        self.reader.close()
        self._receive_socket.close(0)
        self._send_socket.close()
