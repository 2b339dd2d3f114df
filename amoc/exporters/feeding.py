"""Works on points in a greenlet of its own, so that whoever takes a point is not kept.

A run of a thousand metrics is several thousand values a second. They are made for two milliseconds
at a time, and in between the loop turns: the controller has users to deal and throttles to feed.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterable, Iterator
from typing import TypeVar

import gevent
from gevent.event import Event

from amoc.exporters.base import Warn, reason
from amoc.series import Point
from amoc.timing import MS_NS, now_ns

MOST_WAITING = 30
"""Points; beyond that the oldest are dropped."""
HOLD_NS = 2 * MS_NS
"""How long the loop may be held."""
PAUSE_S = 0.0001
"""Not 0: gevent runs fifty greenlets that are ready before it looks at timers and sockets."""

T = TypeVar("T")


class Breather:
    """Lets the loop turn, when it is called and has held the loop for long enough."""

    def __init__(self) -> None:
        self._since_ns = now_ns()

    def __call__(self) -> None:
        """Go on, perhaps after a turn of the loop."""
        if now_ns() - self._since_ns >= HOLD_NS:
            gevent.sleep(PAUSE_S)
            self._since_ns = now_ns()


def in_turns(values: Iterable[T]) -> Iterator[T]:
    """`values`, with a turn of the loop where making them takes long."""
    breather = Breather()
    for value in values:
        yield value
        breather()


class Feeder:
    """Hands points to a function, in order.

    Attributes:
        lost: Points that were dropped, because the function is too slow.
    """

    def __init__(self, what: str, work: Callable[[Point], None], warn: Warn) -> None:
        """Begin to wait for points.

        Args:
            what: What messages call the exporter.
            work: Gets each point; it may wait, and what it raises is said once.
            warn: Is told.
        """
        self.lost = 0
        self._what = what
        self._work = work
        self._warn = warn
        self._warned = False
        self._closing = False
        self._waiting: deque[Point] = deque()
        self._news = Event()
        self._greenlet = gevent.spawn(self._run)

    def take(self, point: Point) -> None:
        """Have `point` worked on."""
        if len(self._waiting) == MOST_WAITING:
            self._waiting.popleft()
            self.lost += 1
        self._waiting.append(point)
        self._news.set()

    def close(self, deadline_s: float) -> None:
        """Work on what is left, for at most `deadline_s`."""
        self._closing = True
        self._news.set()
        self._greenlet.join(deadline_s)
        self._greenlet.kill()
        self.lost += len(self._waiting)

    def _run(self) -> None:
        while True:
            while self._waiting:
                self._feed(self._waiting.popleft())
            if self._closing:
                return
            self._news.clear()
            self._news.wait()

    def _feed(self, point: Point) -> None:
        try:
            self._work(point)
        except Exception as error:  # neither the backend nor a defect may end the run
            if not self._warned:
                self._warned = True
                self._warn(f"{self._what} takes nothing: {reason(error)}; the run goes on")
