"""What both ends of the bus have in common: a socket to send with and one to receive with.

A socket has a descriptor that becomes readable when something may have come, and stays so until
somebody reads. Such a watch can miss a wake-up (the socket has noticed while it was asked for
something else), therefore no wait is longer than `TICK_S` and each ends with a look.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from functools import partial
from math import inf
from typing import Any, Self

import zmq
from gevent import get_hub, sleep

from amoc.base.clock import now_ns
from amoc.base.loop_yield import yield_to_loop
from amoc.base.ticks import to_next_tick_s
from amoc.base.waiting import Notify
from amoc.ipc.messages.codec import Codec
from amoc.ipc.messages.lifecycle import Hello, Note

TICK_S = 1.0
"""How long a message can be there unread: how long a missed wake-up can last."""
TURN_NS = 10_000_000
"""How long reading may go on before others have their turn."""
_READ = 1
"""libev's word for it."""
LINGER_MS = 2_000
"""How long the end of a context may wait for what is still to be sent."""
MAX_UNACKED = 20_000
"""Commands on their way to one child, beyond which it counts as broken."""
MAX_BATCHES = 50
"""Frames of reports on their way from one child, at either end; beyond, it holds them back."""
OWN: Codec[Hello | Note] = Codec(Hello | Note)
"""Reports that the bus makes itself, whatever else goes up."""
WELCOME = "welcome"
"""The bus's own first command: the child is known, and what it is sent from now on arrives."""


def send_nowait(socket: zmq.Socket[bytes], data: bytes) -> bool:
    """Whether there was room for `data` in the queue."""
    try:
        socket.send(data, zmq.NOBLOCK)
    except zmq.Again:
        return False
    return True


class SocketReader:
    """Waits until a socket may have something to read.

    Attributes:
        rest_s: How long it lets more come once something has; 0 for not at all.

    One watcher for all waits, which is off from its call to the next wait: the descriptor stays
    readable until it is read, and the reader may be busy for long. One timer for the ticks, at the
    moments at which this process does other things, too.
    """

    def __init__(
        self, socket: zmq.Socket[bytes], receive: Callable[[], bytes] | None = None
    ) -> None:
        """Read from `socket`; by `receive`, where there is more to know than its messages."""
        self.rest_s = 0.0
        self._receive = receive or partial(socket.recv, zmq.NOBLOCK)
        self._bell = Notify()
        self._closed = False
        self._watcher = get_hub().loop.io(int(socket.getsockopt(zmq.FD)), _READ)
        self._ticks: Any = None

    def close(self) -> None:
        """Watch no more; readers come to an end. To be called before the socket is closed."""
        self._closed = True
        for watcher in (self._watcher, self._ticks):
            if watcher is not None:
                watcher.stop()
                watcher.close()
        self._bell.ring()

    def wait(self, timeout_s: float = inf) -> None:
        """Wait for something to read, for the next tick, or for `timeout_s`."""
        if self._closed:
            return
        self._watcher.start(self.on_readable)
        if self._ticks is None:
            self._ticks = get_hub().loop.timer(to_next_tick_s(TICK_S))
            self._ticks.start(self._tick)
        self._bell.wait(timeout_s)

    def _tick(self) -> None:
        self._ticks.close()
        self._ticks = None  # the next one is at the next of the moments, which may have changed
        self._bell.ring()

    def on_readable(self) -> None:
        """The socket may have something: wake who waits, and watch no more until the next wait."""
        self._watcher.stop()
        self._bell.ring()

    def messages(self) -> Iterator[bytes | None]:
        """Messages, of one frame each, as they come, until the socket is closed.

        None at least every `TICK_S`, so that the caller can look around.
        """
        turn_ends = now_ns() + TURN_NS
        while not self._closed:
            try:
                message = self._receive()
            except zmq.Again:
                self.wait()
                if self.rest_s and not self._closed:
                    sleep(self.rest_s)
                yield None
                turn_ends = now_ns() + TURN_NS
            else:
                yield message
            if now_ns() > turn_ends:
                yield_to_loop()  # however much there is to read, others have their turn
                turn_ends = now_ns() + TURN_NS


class End:
    """A socket to send with, one to receive with, and their end.

    Attributes:
        reader: Waits for what comes.
    """

    def __init__(
        self,
        context: zmq.Context[zmq.Socket[bytes]],
        speaking: tuple[int, int],
        hearing: tuple[int, int],
        receive: Callable[[], bytes] | None = None,
    ) -> None:
        """Make the sockets; of each the kind, and how many messages it holds for one peer."""
        self._speaks, self._hears = (context.socket(kind) for kind, _ in (speaking, hearing))
        for socket, (_, most) in ((self._speaks, speaking), (self._hears, hearing)):
            socket.set_hwm(most)
            socket.linger = LINGER_MS
        self.reader = SocketReader(self._hears, receive)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Hear no more, and let what was said leave within `LINGER_MS`."""
        self.reader.close()
        self._hears.close(0)
        self._speaks.close()
