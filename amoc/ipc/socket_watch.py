"""Hearing that a ZeroMQ socket has something to read.

A socket has a descriptor that becomes readable when something may have come, and stays so until
somebody reads. Such a watch can miss a wake-up (the socket has noticed while it was asked for
something else), therefore no wait is longer than `TICK_S` and each ends with a look.
"""

from __future__ import annotations

from collections.abc import Iterator
from math import inf

import gevent
import zmq
from gevent import get_hub

from amoc.base.clock import now_ns
from amoc.base.waiting import Notify

TICK_S = 0.2
"""How long a missed wake-up can last."""
TURN_NS = 10_000_000
"""How long reading may go on before others have their turn."""
_READ = 1
"""libev's word for it."""


class SocketReader:
    """Waits until a socket may have something to read.

    One watcher for all waits, which is on only while nobody has heard it: the descriptor stays
    readable until somebody looks, and whoever reads may be busy for long. One timer for the ticks.
    """

    def __init__(self, socket: zmq.Socket[bytes]) -> None:
        self._bell = Notify()
        self._closed = self._ticking = False
        loop = get_hub().loop
        self._watcher = loop.io(int(socket.getsockopt(zmq.FD)), _READ)
        self._ticks = loop.timer(TICK_S, TICK_S)
        self._socket = socket

    def close(self) -> None:
        """Watch no more; whoever reads comes to an end. Before the socket is closed."""
        self._closed = True
        for watcher in (self._watcher, self._ticks):
            watcher.stop()
            watcher.close()
        self._bell.ring()

    def wait(self, timeout_s: float = inf) -> None:
        """Wait for something to read, for the next tick, or for `timeout_s`."""
        if self._closed:
            return
        self._watcher.start(self._hear)
        if not self._ticking:
            self._ticking = True
            self._ticks.start(self._bell.ring)
        self._bell.wait(timeout_s)

    def _hear(self) -> None:
        self._watcher.stop()
        self._bell.ring()

    def messages(self) -> Iterator[bytes | None]:
        """Messages, of one frame each, as they come, until the socket is closed.

        None at least every `TICK_S`, so that the caller can look around.
        """
        turn_ends = now_ns() + TURN_NS
        while not self._closed:
            try:
                yield self._socket.recv(zmq.NOBLOCK)
            except zmq.Again:
                self.wait()
                yield None
                turn_ends = now_ns() + TURN_NS
            if now_ns() > turn_ends:
                gevent.sleep(0)  # however much there is to read, others have their turn
                turn_ends = now_ns() + TURN_NS
