"""Works on points in a greenlet of its own, so that whoever takes a point is not kept.

A run of a thousand metrics is several thousand values a second. They are made for two milliseconds
at a time, and in between the loop turns: the controller has users to deal and throttles to feed.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterable, Iterator
from dataclasses import replace
from typing import TypeVar

import gevent

from amoc.base.clock import MS_NS, now_ns
from amoc.results.exporters.background_task import Beside
from amoc.results.exporters.base import Warn, reason
from amoc.results.series import Point, Tally, ThrottlePoint

MAX_WAITING = 30
"""Points; beyond that the oldest is dropped, and what it counted goes with the next one."""
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


class PointQueue:
    """Hands points to a function, in order.

    Attributes:
        lost: Points that were dropped because the function is too slow, that it failed with, or
            that it has not done.
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
        self._waiting: deque[Point] = deque()
        self._dropped = Tally()
        self._beside = Beside(self._run)

    def take(self, point: Point) -> None:
        """Have `point` worked on."""
        if len(self._waiting) == MAX_WAITING:
            self._dropped.add(self._waiting.popleft())
            self.lost += 1
        self._waiting.append(point)
        self._beside.ring()

    def close(self, deadline_s: float) -> None:
        """Work on what is left, for at most `deadline_s`."""
        self._beside.close(deadline_s)
        self.lost += len(self._waiting)

    def _run(self) -> None:
        while self._waiting or self._beside.wait():
            if self._waiting:
                self._feed(self._next())

    def _next(self) -> Point:
        """The next point, with what was counted in those before it that were dropped."""
        point = self._waiting.popleft()
        if self._dropped.points:
            dropped, self._dropped = self._dropped, Tally()
            return _after(dropped, point)
        return point

    def _feed(self, point: Point) -> None:
        self.lost += 1  # until it is done: the end may come before that
        try:
            self._work(point)
        except Exception as error:  # neither the backend nor a defect may end the run
            if not self._warned:
                self._warned = True
                self._warn(f"{self._what} takes nothing: {reason(error)}; the run goes on")
        else:
            self.lost -= 1


def _after(dropped: Tally, point: Point) -> Point:
    """`point` as if it had begun where the points of `dropped` did: counts add up, rates stay."""
    dropped.add(point)
    throttles = {
        name: replace(
            point.throttles.get(name, ThrottlePoint()),
            requests=counts["requests"],
            executions=counts["executions"],
            missed=counts["missed"],
        )
        for name, counts in dropped.throttles.items()
    }
    return replace(
        point,
        span_s=dropped.span_s,
        active_s=dropped.active_s,
        starts=dropped.starts,
        counters=dropped.counters,
        timers=dropped.timers,
        crashes=dropped.crashes,
        throttles=throttles,
    )
