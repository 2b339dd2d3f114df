"""Time limits of very many requests, with one timer for all requests of the same limit.

A request only records its start time. About once per limit, the requests in flight are put into a
queue, and the timer is set for the first of them. Any request that starts later is due later than
all in the queue. So a request needs no timer of the event loop and, once its connection is
watched, no bookkeeping at all.
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
from amoc.base.timers import call_later

if TYPE_CHECKING:
    from gevent._types import _TimerWatcher

MAX_QUEUES = 256
LEAST_S = 0.001
TOLD: Final = -1
"""Value of `Limited.since_ns` after `overdue` is decided, so that it is called only once."""
_NEVER: Final = 1 << 63
_numbers: Final = count()


class Limited(Protocol):
    """An object with a time limit.

    Attributes:
        since_ns: Start of its time limit. There is no limit while this is not above 0.
    """

    since_ns: int

    def overdue(self) -> None:
        """Handle the expiry of the time limit, in the hub. `since_ns` is `TOLD` by then."""


class Deadlines:
    """All objects that share one time limit.

    Attributes:
        seconds: The limit.
        queued_ns: When the current queue was built. A watched object whose time starts then or
            later need not be queued. One whose time started earlier, after a slow connect or a
            redirect for example, must `join`.
    """

    __slots__ = ("_ns", "_queue", "_timer", "_watched", "queued_ns", "seconds")

    def __init__(self, seconds: float) -> None:
        self.seconds = seconds
        self._ns = int(seconds * S_NS)
        self._watched: dict[Limited, None] = {}
        self.queued_ns = _NEVER
        self.forget()

    def watch(self, one: Limited) -> None:
        """Call ``one.overdue()`` whenever its time limit expires, until `unwatch`."""
        self._watched[one] = None

    def unwatch(self, one: Limited) -> None:
        """Stop watching `one`. Does nothing if it is not watched."""
        self._watched.pop(one, None)

    def join(self, one: Limited) -> None:
        """Queue an object whose time started before `queued_ns`."""
        since_ns = one.since_ns
        heappush(self._queue, (since_ns, next(_numbers), one))
        self.queued_ns = min(self.queued_ns, monotonic_ns())  # in case there was no queue
        if self._queue[0][0] == since_ns:
            self._arm(since_ns)

    def forget(self) -> None:
        """Forget all watched objects and the timer, whose event loop may no longer exist."""
        self._watched.clear()
        self._queue: list[tuple[int, int, Limited]] = []
        self._timer: _TimerWatcher | None = None
        self.queued_ns = _NEVER

    def _arm(self, since_ns: int) -> None:
        if self._timer is not None:
            self._timer.close()
        left_s = (since_ns + self._ns - monotonic_ns()) / S_NS
        self._timer = call_later(get_hub().loop, max(left_s, LEAST_S), self._ring, ref=False)

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
        # Call these last: a user may resume inside, and start a request or end another one.
        for one in over:
            if one.since_ns == TOLD:
                one.overdue()

    def _take_overdue(self) -> list[Limited]:
        """Return the overdue objects, marked `TOLD`. Dequeues them and those that are complete."""
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
    """Calls ``over(seconds)`` when no data has arrived for the time limit of `deadlines`."""

    __slots__ = ("_deadlines", "_over", "since_ns")

    def __init__(self, over: Callable[[float], object], deadlines: Deadlines) -> None:
        self._over = over
        self._deadlines = deadlines
        deadlines.watch(self)
        self.heard(monotonic_ns())

    def heard(self, now_ns: int) -> None:
        """Restart the time limit: data has arrived, or is expected from now on."""
        self.since_ns = now_ns
        if now_ns < self._deadlines.queued_ns:
            self._deadlines.join(self)

    def stop(self) -> None:
        """Stop watching."""
        self.since_ns = 0
        self._deadlines.unwatch(self)

    def overdue(self) -> None:
        """Report the silence, in the hub."""
        self._over(self._deadlines.seconds)


_queues: dict[float, Deadlines] = {}


def _forget() -> None:
    """Reset all queues in a forked process: it has a new event loop, and no user waits."""
    for queue in _queues.values():
        queue.forget()


os.register_at_fork(after_in_child=_forget)


def of(seconds: float) -> Deadlines:
    """Return this worker's queue for a limit of `seconds`."""
    queue = _queues.get(seconds)
    if queue is None:
        if len(_queues) >= MAX_QUEUES:  # limits may be computed, a different one for each request
            del _queues[next(iter(_queues))]
        queue = _queues[seconds] = Deadlines(seconds)
    return queue
