"""The controller's queue of users to start, and which worker gets which. Pure.

A user's number decides its worker (`amoc.users.placement`). A worker gets its users in order, up to
a few thousand more than it has started. It starts them through the throttle ``user_rate``, so this
module does not know that rate. Users of a lost worker are restarted first. Users from stages have a
time before which they do not start. Alongside them, users without such a time (those of a lost
worker, and those added by a command) are dealt at a limited pace.
"""

from __future__ import annotations

from bisect import bisect_left
from collections import deque
from collections.abc import Collection, Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from itertools import chain
from math import inf
from typing import NamedTuple

from amoc.base.clock import S_NS
from amoc.ipc.messages.users import StartUsers
from amoc.users.placement import Placement

MAX_OUTSTANDING = 4_000
"""Most users dealt to a worker that it has not started yet."""
CHUNK = 1_000
"""Most users dealt to a worker at once."""
ALL = range(1, 1 << 62)
"""The ids of all users."""
MAX_SAVED_S = 0.1
"""How much unused pace may be made up for, when nothing could be dealt for a while."""


class _Batch(NamedTuple):
    """Users of one worker that were added together."""

    ids: Sequence[int]
    """Ascending."""
    dues_ns: Sequence[int]
    """When each may start; empty means at once."""
    paced: bool = False

    def split(self, count: int) -> tuple[_Batch, _Batch]:
        """Return the first `count` users, and the rest."""
        head = _Batch(self.ids[:count], self.dues_ns[:count], self.paced)
        return head, _Batch(self.ids[count:], self.dues_ns[count:], self.paced)

    def below(self, first: int) -> int:
        """Return how many of its users have ids below `first`."""
        return bisect_left(self.ids, first)


class _Pace:
    """Limits how many users per second are dealt."""

    def __init__(self, per_s: float) -> None:
        self._per_s = per_s
        self._credit = 0.0
        self._at_ns = 0

    def share(self, workers: int, now_ns: int) -> int:
        """Return how many may be dealt to each of `workers`, so that none waits for the others."""
        if self._per_s == inf:
            return CHUNK
        earned = self._per_s * (now_ns - self._at_ns) / S_NS
        self._at_ns = now_ns
        # Unused credit is limited: users must not start in a burst.
        self._credit = min(self._credit + earned, max(1.0, self._per_s * MAX_SAVED_S))
        return max(1, int(self._credit) // workers)

    def take(self, wanted: int) -> int:
        """Use the credit for up to `wanted` users; return how many may be dealt."""
        if self._per_s == inf:
            return wanted
        given = min(wanted, int(self._credit))
        self._credit -= given
        return given


@dataclass
class _Worker:
    index: int
    up: bool = False
    outstanding: deque[tuple[int, bool]] = field(default_factory=deque)
    """Users that were dealt and have not started, in the order in which they start, each with
    whether it has run before."""
    again: deque[int] = field(default_factory=deque)
    moved: deque[int] = field(default_factory=deque)
    """Like `again`, from a lost node."""
    unstarted: deque[int] = field(default_factory=deque)
    fresh: deque[_Batch] = field(default_factory=deque)
    in_order: bool = True
    """Whether the ids of each batch are all lower than those of the next."""

    def waiting(self) -> int:
        fresh = sum(len(batch.ids) for batch in self.fresh)
        return len(self.again) + len(self.moved) + len(self.unstarted) + fresh

    def insert(self, batch: _Batch) -> None:
        """Insert a batch of new users in the order of ids."""
        at = len(self.fresh)
        while at and self.fresh[at - 1].ids[0] > batch.ids[0]:
            at -= 1
        self.fresh.insert(at, batch)
        above = at and self.fresh[at - 1].ids[-1] >= batch.ids[0]
        below = at + 1 < len(self.fresh) and self.fresh[at + 1].ids[0] <= batch.ids[-1]
        self.in_order &= not above and not below

    @property
    def highest(self) -> int:
        """The highest new id."""
        batches = [self.fresh[-1]] if self.in_order else self.fresh
        return max(batch.ids[-1] for batch in batches)

    def cut(self, first: int, last: int | None = None) -> Iterator[int]:
        """Remove and yield the new users with ids from `first` to `last`, or all from `first`."""
        above: list[_Batch] = []
        while self.fresh and (self.fresh[-1].ids[-1] >= first or not self.in_order):
            batch = self.fresh.pop()
            if batch.ids[-1] < first:
                above.append(batch)
                continue
            if last is not None and batch.ids[-1] > last:
                batch, kept = batch.split(batch.below(last + 1))
                if kept.ids:
                    above.append(kept)
            if batch.ids and (below := batch.below(first)):
                kept, batch = batch.split(below)
                above.append(kept)
            yield from batch.ids
        self.fresh.extend(reversed(above))

    def take(self, now_ns: int, pace: _Pace, share: int, ahead: int) -> StartUsers | None:
        """Return the next users, if the worker has room; at most `share` of the paced ones."""
        room = min(CHUNK, ahead - len(self.outstanding))
        if not self.up or room <= 0:
            return None
        queue = self.again or self.moved or self.unstarted
        if queue and (number := pace.take(min(room, share, len(queue)))):
            again = queue is not self.unstarted
            ids = [queue.popleft() for _ in range(number)]
            self.outstanding += [(one, again) for one in ids]
            return StartUsers(self.index, ids, now_ns, [], again)
        batch = self._next_batch(room, pace, share)
        if batch is None:
            return None
        self.outstanding += [(one, False) for one in batch.ids]
        due_ns = batch.dues_ns[0] if batch.dues_ns else now_ns
        offsets_ns = [one - due_ns for one in batch.dues_ns]
        return StartUsers(self.index, list(batch.ids), due_ns, offsets_ns, again=False)

    def _next_batch(self, room: int, pace: _Pace, share: int) -> _Batch | None:
        """Return the first new users that may be dealt now."""
        for at, batch in enumerate(self.fresh):
            number = pace.take(min(room, share, len(batch.ids))) if batch.paced else room
            if number:
                head, rest = batch.split(number)
                del self.fresh[at]
                if rest.ids:
                    self.fresh.insert(at, rest)
                return head
        return None


class StartQueue:
    """The users waiting to start.

    Attributes:
        outstanding: Number of users that were dealt and have not started yet.
    """

    def __init__(
        self, placement: Placement, pace_per_s: float = inf, workers: int | None = None
    ) -> None:
        """Create it without users.

        Args:
            placement: The worker of each user.
            pace_per_s: Most users per second to deal of those of lost workers, and of those added
                as `paced`.
            workers: Initial number of workers; by default all of the placement.
        """
        self._placement = placement
        there = placement.workers if workers is None else workers
        self._workers = {index: _Worker(index) for index in range(there)}
        self._queued: dict[int, _Worker] = {}  # all for which users wait; some have none any more
        self.outstanding = 0
        self._pace = _Pace(pace_per_s)
        self._first = 0

    def add(self, ids: range, dues_ns: Sequence[int] = (), *, paced: bool = False) -> None:
        """Add users with consecutive `ids`, none of which was added before.

        With `dues_ns`, each starts no earlier than its time; `paced` users start at the pace.
        """
        for worker in self._workers.values() if ids else ():
            some = self._placement.ids_of(ids[0], ids[-1], worker.index)
            if len(some) == 1:
                (mine,) = some
                dues = dues_ns[mine[0] - ids[0] : mine[-1] - ids[0] + 1 : mine.step]
                self._insert(worker, _Batch(mine, dues, paced))
            elif some:
                merged = sorted(chain.from_iterable(some))
                dues = [dues_ns[one - ids[0]] for one in merged] if dues_ns else ()
                self._insert(worker, _Batch(merged, dues, paced))

    def _insert(self, worker: _Worker, batch: _Batch) -> None:
        worker.insert(batch)
        self._queued[worker.index] = worker

    def withdraw(
        self, count: int, among: range = ALL, on: Collection[int] | None = None
    ) -> list[int]:
        """Remove the `count` users with the highest ids from the queue, and return their ids.

        Users that were dealt to a worker, running or lost, are no longer in the queue, so there may
        be fewer.

        Args:
            count: How many.
            among: Only users with these ids are removed.
            on: Only users of these workers are removed; None means of all.
        """
        first = self._threshold(count, among, on)
        taken = [one for worker in self._those(on) for one in worker.cut(first, among[-1])]
        taken.sort(reverse=True)
        return taken

    def withdraw_ids(self, first: int, last: int, on: Collection[int] | None = None) -> list[int]:
        """Remove the users with ids from `first` to `last` from the queue, and return their ids.

        Users that were dealt to a worker are no longer in the queue.
        """
        return [one for worker in self._those(on) for one in worker.cut(first, last)]

    def _those(self, on: Collection[int] | None) -> list[_Worker]:
        return [one for one in self._workers.values() if on is None or one.index in on]

    def _threshold(self, count: int, among: range, on: Collection[int] | None) -> int:
        """Return the lowest id from which on the queue has at most `count` users of `among`."""
        waiting = [worker for worker in self._those(on) if worker.fresh]
        low = max(among[0], min((one.fresh[0].ids[0] for one in waiting), default=0))
        high = min(among[-1], max((one.highest for one in waiting), default=-1)) + 1
        # From `high` on there are none; each step halves the search range.
        while low < high:
            middle = (low + high) // 2
            if self._between(middle, among[-1], count + 1, on) > count:
                low = middle + 1
            else:
                high = middle
        return low

    def _between(
        self, first: int, last: int, enough: float = inf, on: Collection[int] | None = None
    ) -> int:
        """Return how many users with ids from `first` to `last` are queued, counting to `enough`.

        Each worker's ids ascend, so lower ids are in front.
        """
        found = 0
        for worker in self._those(on):
            for batch in reversed(worker.fresh):
                number = batch.below(first)
                found += max(0, batch.below(last + 1) - number)
                if (number and worker.in_order) or found >= enough:
                    break
            if found >= enough:
                break
        return found

    def undealt(self, among: range = ALL) -> int:
        """Return the number of new users that were never dealt; no node knows them."""
        return self._between(among[0], among[-1])

    def waiting(self) -> int:
        """Return the number of users waiting to be dealt."""
        waiting = 0
        for worker in list(self._queued.values()):
            if number := worker.waiting():
                waiting += number
            else:
                del self._queued[worker.index]
        return waiting

    def to_start(self, workers: Iterable[int]) -> int:
        """Return how many users of these workers have not started, dealt or not."""
        these = [self._workers[index] for index in workers]
        return sum(one.waiting() + len(one.outstanding) for one in these)

    def up(self, worker: int, again: Sequence[int], unstarted: Sequence[int]) -> None:
        """Add `worker`; `again` ran in its last incarnation, `unstarted` only waited there."""
        one = self._workers.setdefault(worker, _Worker(worker))  # its node may just have joined
        self._none_outstanding(one)
        one.up, one.again, one.unstarted = True, deque(again), deque(unstarted)
        self._queued[worker] = one

    def down(self, worker: int) -> None:
        """Stop dealing users to `worker`."""
        # Users dealt to it that have not started come back with `up`: they are on the board.
        one = self._workers[worker]
        self._none_outstanding(one)
        one.up = False

    def started(self, worker: int, count: int) -> None:
        """Record that `worker` has started, or turned away, `count` of the users dealt to it."""
        dealt = self._workers[worker].outstanding
        for _ in range(min(count, len(dealt))):
            dealt.popleft()
            self.outstanding -= 1

    def _none_outstanding(self, worker: _Worker) -> None:
        self.outstanding -= len(worker.outstanding)
        worker.outstanding.clear()

    def unstarted(self, workers: Iterable[int]) -> set[int]:
        """Return users that were dealt to these workers and, as far as known, never ran."""
        found = set[int]()
        for one in (self._workers[index] for index in workers):
            found.update(one.unstarted, (user for user, has_run in one.outstanding if not has_run))
        return found

    def lose(
        self, workers: Sequence[int], again: Iterable[int], unstarted: Iterable[int] = ()
    ) -> None:
        """Give the users of lost workers to others, according to the updated placement.

        Args:
            workers: The lost workers.
            again: Those of their dealt users that must restart.
            unstarted: Those of their dealt users that never ran, and start now.
        """
        for lost in [self._workers.pop(index) for index in workers]:
            self._none_outstanding(lost)
            self._queued.pop(lost.index, None)
            for batch in lost.fresh:
                self._insert_elsewhere(batch)
        for user_id in again:
            worker = self._workers[self._placement.worker_of(user_id)]
            worker.moved.append(user_id)
            self._queued[worker.index] = worker
        if never := sorted(unstarted):
            self._insert_elsewhere(_Batch(never, (), paced=True))

    def _insert_elsewhere(self, batch: _Batch) -> None:
        found: dict[int, tuple[list[int], list[int]]] = {}
        for at, user_id in enumerate(batch.ids):
            ids, dues_ns = found.setdefault(self._placement.worker_of(user_id), ([], []))
            ids.append(user_id)
            dues_ns += batch.dues_ns[at : at + 1]
        for worker, (ids, dues_ns) in found.items():
            self._insert(self._workers[worker], _Batch(ids, dues_ns, batch.paced))

    def spread(self, first: int, last: int) -> None:
        """Move queued users with ids from `first` to `last` to their new workers."""
        taken: list[_Batch] = []
        for worker in self._workers.values():
            batches, worker.fresh, worker.in_order = worker.fresh, deque(), True
            for batch in batches:
                below, rest = batch.split(batch.below(first))
                mine, above = rest.split(rest.below(last + 1))
                taken += [mine] if mine.ids else []
                for kept in (below, above):
                    if kept.ids:
                        worker.insert(kept)
        number = sum(len(batch.ids) for batch in taken)
        ids = range(first, first + number)
        is_plain = not any(batch.dues_ns or batch.paced for batch in taken)
        if taken and is_plain and max(batch.ids[-1] for batch in taken) == ids[-1]:
            self.add(ids)  # quick, even for a million users
            return
        for batch in taken:
            self._insert_elsewhere(batch)

    def deal(self, now_ns: int, ahead: int = MAX_OUTSTANDING) -> list[StartUsers]:
        """Return blocks of users for the workers that have room for them.

        Args:
            now_ns: The time.
            ahead: Most users that a worker may have that have not started.
        """
        blocks: list[StartUsers] = []
        while True:
            share = self._pace.share(len(self._workers), now_ns)
            # Workers take turns if there is only one start for many of them.
            order = sorted(
                self._queued.values(), key=lambda one: (one.index < self._first, one.index)
            )
            dealt = [
                block
                for worker in order
                if (block := worker.take(now_ns, self._pace, share, ahead)) is not None
            ]
            if not dealt:
                return blocks
            self.outstanding += sum(len(block.ids) for block in dealt)
            self._first = dealt[-1].worker + 1
            blocks += dealt
