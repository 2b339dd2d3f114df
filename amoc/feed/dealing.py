"""Distribution of a feed's rows to workers, each row once in the whole run. Pure.

Rows are numbered from 0. Each number is dealt to one worker, in ranges, lowest first, and is dealt
again only if that worker returns it. The numbers of a circular feed continue without end, and
workers take them modulo the number of rows.

Blocks shrink towards the end: rows that a worker wants beyond those its users wait for are limited
to an even share of half of the rest. When nothing is left and users still wait, all workers that
may hold unused rows are asked to return them, and these are dealt again. The feed has ended only
when nothing comes back. So no row is stranded in a worker that does not need it.

Rows held by a lost worker are not dealt again: some may have been used, and a row is used at most
once.
"""

from __future__ import annotations

from collections.abc import Hashable, Sequence
from dataclasses import dataclass, field
from heapq import heappop, heappush
from math import ceil
from typing import Generic, TypeVar

W = TypeVar("W", bound=Hashable)

Ranges = Sequence[tuple[int, int]]
"""Ranges of rows: the first row and the number of rows of each."""
MAX_DEALT = 1 << 20
"""Maximum number of rows dealt at once."""


@dataclass
class Dealt(Generic[W]):
    """Messages to send to workers."""

    rows: list[tuple[W, Ranges]] = field(default_factory=list)
    recall: list[W] = field(default_factory=list)
    ended: list[W] = field(default_factory=list)


@dataclass
class _Worker:
    """The dealer's record of a worker.

    Attributes:
        held: Upper bound of the unused rows that it holds.
        sent: Rows dealt to it so far.
        waiting: Its users that wait for a row.
        asked: Whether it has been asked to return its rows.
    """

    held: int = 0
    sent: int = 0
    waiting: int = 0
    asked: bool = False


class Dealer(Generic[W]):
    """Deals the rows of one feed.

    Attributes:
        rows: The number of rows.
        wraps: Whether it starts over at the end.
        dealt: The number of rows dealt and not returned.
        ended: Whether no row is left, not even in a worker.
    """

    def __init__(self, rows: int, wraps: bool) -> None:
        self.rows = rows
        self.wraps = wraps
        self.dealt = 0
        self.ended = False
        self._next = 0
        self._returned: list[tuple[int, int]] = []  # a heap
        self._returned_rows = 0
        self._workers: dict[W, _Worker] = {}

    def want(
        self, worker: W, waiting: int, ahead: int, held: int = 0, received: int = 0
    ) -> Dealt[W]:
        """Deal rows to a worker that needs some.

        Args:
            worker: The worker.
            waiting: The number of its users that wait.
            ahead: The number of rows it wants in addition.
            held: The number of unused rows it holds.
            received: The number of rows it has received so far.
        """
        one = self._workers.setdefault(worker, _Worker())
        coming = one.sent - received  # still in flight when the worker asked
        one.held = held + coming
        one.waiting = max(0, waiting - coming)
        ahead = max(0, ahead - max(0, coming - waiting))
        told: Dealt[W] = Dealt()
        self._give(worker, ahead, told)
        return self._go_on(told)

    def returned(self, worker: W, ranges: Ranges, received: int) -> Dealt[W]:
        """Take back all unused rows of a worker, which had received `received` rows by then."""
        one = self._workers.setdefault(worker, _Worker())
        one.asked = False
        one.held = one.sent - received
        for first, count in ranges:
            heappush(self._returned, (first, count))
            self._returned_rows += count
            self.dealt -= count
        return self._go_on(Dealt())

    def lost(self, worker: W) -> tuple[int, Dealt[W]]:
        """Forget a lost worker; return the most rows it may have held, and what to send now."""
        one = self._workers.pop(worker, _Worker())
        return one.held, self._go_on(Dealt())

    def _go_on(self, told: Dealt[W]) -> Dealt[W]:
        """Serve workers whose users wait; if no row is left, ask others to return theirs."""
        waiting = [worker for worker, one in self._workers.items() if one.waiting]
        for worker in waiting:
            self._give(worker, 0, told)
        waiting = [worker for worker in waiting if self._workers[worker].waiting]
        if not waiting:
            return told
        # A worker whose users wait holds no rows; otherwise they would not wait.
        for worker, one in self._workers.items():
            if one.held > 0 and not one.asked and waiting != [worker]:
                one.asked = True
                told.recall.append(worker)
        if not any(one.asked for one in self._workers.values()):
            self.ended = True
            told.ended += waiting
            for worker in waiting:
                self._workers[worker].waiting = 0
        return told

    def _give(self, worker: W, ahead: int, told: Dealt[W]) -> None:
        """Deal a worker rows for its waiting users and `ahead` more, as far as available."""
        one = self._workers[worker]
        if ranges := self._take(one.waiting, ahead):
            self.ended = False
            count = sum(count for _, count in ranges)
            one.sent += count
            one.held += count
            one.waiting = max(0, one.waiting - count)
            told.rows.append((worker, ranges))

    def _take(self, waiting: int, ahead: int) -> Ranges:
        left = MAX_DEALT
        if not self.wraps:
            left = self._returned_rows + self.rows - self._next
            rest = max(0, left - waiting)
            ahead = min(ahead, ceil(rest / 2 / len(self._workers)))
        count = min(waiting + ahead, left, MAX_DEALT)
        ranges: list[tuple[int, int]] = []
        self.dealt += count
        while count and self._returned:
            first, there = heappop(self._returned)
            part = min(there, count)
            if part < there:
                heappush(self._returned, (first + part, there - part))
            self._returned_rows -= part
            ranges.append((first, part))
            count -= part
        if count:
            ranges.append((self._next, count))
            self._next += count
        return ranges
