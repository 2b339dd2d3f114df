"""Time limits of very many requests, with one timer for all that have the same limit.

A request says since when it takes its time, and nothing else. Now and then, about once in each
limit, those that are under way are put into a queue, whose first one's time is watched; who begins
after that is due later than all of them. So a request costs no timer of the event loop, and no
entry anywhere once its connection is known.
"""

from __future__ import annotations

import os
from collections.abc import Callable
from heapq import heappop, heappush
from itertools import count
from time import monotonic_ns
from typing import TYPE_CHECKING, Final, Protocol

from gevent import get_hub

from amoc.base.clock import S_NS

if TYPE_CHECKING:
    from gevent._types import _TimerWatcher

MAX_QUEUES = 256
LEAST_S = 0.001
TOLD: Final = -1
"""As `Limited.since_ns`: it was told, which is done once."""
_NEVER: Final = 1 << 63
_numbers: Final = count()


class Limited(Protocol):
    """What has a time limit.

    Attributes:
        since_ns: Since when its time counts; it has no end while this is not above 0.
    """

    since_ns: int

    def overdue(self) -> None:
        """In the hub: the time is over; `since_ns` is `TOLD` by now."""


class Deadlines:
    """Those of one limit.

    Attributes:
        seconds: The limit.
        queued_ns: When those under way were queued. Who is watched and begins then or later need
            not say so; who has begun before, after a slow connect say, or a redirect, must `join`.
    """

    __slots__ = ("_ns", "_queue", "_timer", "_watched", "queued_ns", "seconds")

    def __init__(self, seconds: float) -> None:
        self.seconds = seconds
        self._ns = int(seconds * S_NS)
        self._watched: dict[Limited, None] = {}
        self.queued_ns = _NEVER
        self.forget()

    def watch(self, one: Limited) -> None:
        """Tell `one` each time that its time is over, until it is `unwatch`ed."""
        self._watched[one] = None

    def unwatch(self, one: Limited) -> None:
        """Tell it no more; harmless where it is not watched."""
        self._watched.pop(one, None)

    def join(self, one: Limited) -> None:
        """Queue one that has begun before `queued_ns`."""
        since_ns = one.since_ns
        heappush(self._queue, (since_ns, next(_numbers), one))
        self.queued_ns = min(self.queued_ns, monotonic_ns())  # there may have been no queue
        if self._queue[0][0] == since_ns:
            self._arm(since_ns)

    def forget(self) -> None:
        """Forget who is watched, and the event loop that has watched."""
        self._watched.clear()
        self._queue: list[tuple[int, int, Limited]] = []
        self._timer: _TimerWatcher | None = None
        self.queued_ns = _NEVER

    def _arm(self, since_ns: int) -> None:
        if self._timer is not None:
            self._timer.close()
        left_s = (since_ns + self._ns - monotonic_ns()) / S_NS
        self._timer = get_hub().loop.timer(max(left_s, LEAST_S), ref=False)
        self._timer.start(self._ring)

    def _ring(self) -> None:
        over = self._take_overdue()
        if not self._queue:
            self.queued_ns = monotonic_ns()
            begun = ((one.since_ns, next(_numbers), one) for one in self._watched)
            self._queue = sorted(entry for entry in begun if entry[0] > 0)
            over += self._take_overdue()
        if self._queue:
            self._arm(self._queue[0][0])
        else:
            self.queued_ns = _NEVER
        # Last, for a user goes on within this, and may begin its next request, or end another's.
        for one in over:
            if one.since_ns == TOLD:
                one.overdue()

    def _take_overdue(self) -> list[Limited]:
        """Those whose time is over, as `TOLD`; takes them, and who has ended, from the queue."""
        queue, ended_ns = self._queue, monotonic_ns() - self._ns
        over: list[Limited] = []
        while queue:
            since_ns, _, one = queue[0]
            is_under_way = since_ns == one.since_ns and one in self._watched
            if is_under_way and since_ns > ended_ns:
                break
            heappop(queue)
            if is_under_way:
                one.since_ns = TOLD
                over.append(one)
        return over


class Silence:
    """Watches that somebody says something again and again; else `over` is told how long."""

    __slots__ = ("_deadlines", "_over", "since_ns")

    def __init__(self, over: Callable[[float], object], deadlines: Deadlines) -> None:
        self._over = over
        self._deadlines = deadlines
        deadlines.watch(self)
        self.heard(monotonic_ns())

    def heard(self, now_ns: int) -> None:
        """Something has come, or is awaited from now on."""
        self.since_ns = now_ns
        if now_ns < self._deadlines.queued_ns:
            self._deadlines.join(self)

    def stop(self) -> None:
        """Watch no more."""
        self.since_ns = 0
        self._deadlines.unwatch(self)

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
