"""Time limits of very many requests, with one timer for all that have the same limit.

Requests with the same limit end in the order in which they began, so only the first one's time has
to be watched: a request costs an entry in a dict, and no timer of the event loop. One that joins
late, after a slow connect say, or a redirect, would break that order and has a timer of its own.
"""

from __future__ import annotations

import os
from collections.abc import Callable
from time import monotonic_ns
from typing import TYPE_CHECKING, Protocol

from gevent import get_hub

from amoc.base.clock import S_NS

if TYPE_CHECKING:
    from gevent._types import _TimerWatcher

MAX_QUEUES = 256
LEAST_S = 0.001
LATE_NS = 10_000_000
"""Who joins so long after its beginning has a timer of its own; others may be told so late."""


class Limited(Protocol):
    """What has a time limit."""

    def overdue(self) -> None:
        """In the hub: the time is over."""


class Deadlines:
    """Those of one limit.

    Attributes:
        seconds: The limit.
    """

    __slots__ = ("_is_armed", "_ns", "_own", "_timer", "_waiting", "seconds")

    def __init__(self, seconds: float) -> None:
        self.seconds = seconds
        self._ns = int(seconds * S_NS)
        self._waiting: dict[Limited, int] = {}
        self._own: dict[Limited, _TimerWatcher] = {}
        self._is_armed = False

    def add(self, one: Limited, begin_ns: int, now_ns: int) -> None:
        """Let `one`, which began at `begin_ns`, be told when it is over, unless it is removed."""
        if now_ns - begin_ns > LATE_NS:
            left_s = (begin_ns + self._ns - now_ns) / S_NS
            timer = self._own[one] = get_hub().loop.timer(max(left_s, LEAST_S), ref=False)
            timer.start(self._ring_for, one)
            return
        self._waiting[one] = begin_ns + self._ns
        if not self._is_armed:
            self._arm(self._ns)

    def remove(self, one: Limited) -> None:
        """It has ended in time; harmless where it was told."""
        if self._waiting.pop(one, None) is None and self._own:
            timer = self._own.pop(one, None)
            if timer is not None:
                timer.close()

    def forget(self) -> None:
        """Forget who waits, and the event loop that has watched."""
        self._waiting.clear()
        self._own.clear()
        self._is_armed = False

    def _arm(self, ns: int) -> None:
        self._is_armed = True
        self._timer = get_hub().loop.timer(max(ns / S_NS, LEAST_S), ref=False)
        self._timer.start(self._ring)

    def _ring_for(self, one: Limited) -> None:
        self.remove(one)
        one.overdue()

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


class Silence:
    """Watches that somebody says something again and again; else `over` is told how long."""

    __slots__ = ("_deadlines", "_over")

    def __init__(self, over: Callable[[float], object], deadlines: Deadlines) -> None:
        self._over = over
        self._deadlines = deadlines
        self.heard(monotonic_ns())

    def heard(self, now_ns: int) -> None:
        """Something has come, or is awaited from now on."""
        self.stop()
        self._deadlines.add(self, now_ns, now_ns)

    def stop(self) -> None:
        """Watch no more."""
        self._deadlines.remove(self)

    def overdue(self) -> None:
        """In the hub: nothing has come."""
        self._over(self._deadlines.seconds)


_queues: dict[float, Deadlines] = {}


def _forget() -> None:
    """In a forked process: its event loop is another one, and nobody waits."""
    for queue in _queues.values():
        queue.forget()


os.register_at_fork(after_in_child=_forget)


def of(seconds: float) -> Deadlines:
    """The queue of this worker for a limit of so many seconds."""
    queue = _queues.get(seconds)
    if queue is None:
        if len(_queues) >= MAX_QUEUES:  # limits that are computed: each may have its own
            del _queues[next(iter(_queues))]
        queue = _queues[seconds] = Deadlines(seconds)
    return queue
