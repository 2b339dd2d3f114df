"""Time limits of very many requests, with one timer for all that have the same limit.

Requests with the same limit end in the order in which they began, so only the first one's time has
to be watched: a request costs an entry in a dict, and no timer of the event loop.
"""

from __future__ import annotations

from time import monotonic_ns
from typing import Protocol

from gevent import get_hub

from amoc.base.clock import S_NS

MAX_QUEUES = 256
LEAST_S = 0.001


class Limited(Protocol):
    """What has a time limit."""

    def overdue(self) -> None:
        """In the hub: the time is over."""


class Deadlines:
    """Those of one limit.

    Attributes:
        seconds: The limit.
    """

    __slots__ = ("_is_armed", "_loop", "_ns", "_timer", "_waiting", "seconds")

    def __init__(self, seconds: float) -> None:
        self.seconds = seconds
        self._ns = int(seconds * S_NS)
        self._loop = get_hub().loop
        self._waiting: dict[Limited, int] = {}
        self._is_armed = False

    @property
    def is_stale(self) -> bool:
        """Whether it is of an event loop that is no more, from before a fork."""
        return self._loop is not get_hub().loop

    def add(self, one: Limited, begin_ns: int) -> None:
        """Let `one` be told when it is over, unless it is removed before."""
        self._waiting[one] = begin_ns + self._ns
        if not self._is_armed:
            self._arm(self._ns)

    def remove(self, one: Limited) -> None:
        """It has ended in time; harmless where it was told."""
        self._waiting.pop(one, None)

    def _arm(self, ns: int) -> None:
        self._is_armed = True
        self._timer = self._loop.timer(max(ns / S_NS, LEAST_S), ref=False)
        self._timer.start(self._ring)

    def _ring(self) -> None:
        self._is_armed = False
        self._timer.close()
        now_ns = monotonic_ns()
        over = []
        for one, due_ns in self._waiting.items():
            if due_ns > now_ns:
                break
            over.append(one)
        for one in over:
            if self._waiting.pop(one, None) is not None:
                one.overdue()
        if self._waiting and not self._is_armed:
            self._arm(next(iter(self._waiting.values())) - now_ns)


_queues: dict[float, Deadlines] = {}


def of(seconds: float) -> Deadlines:
    """The queue of this worker for a limit of so many seconds."""
    queue = _queues.get(seconds)
    if queue is None or queue.is_stale:
        if len(_queues) >= MAX_QUEUES:  # limits that are computed: each may have its own
            _queues.clear()
        queue = _queues[seconds] = Deadlines(seconds)
    return queue
