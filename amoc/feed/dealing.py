"""Who gets which rows of a feed, so that each is handed out once over the whole run. Pure.

Rows are numbered from 0. Each number is dealt to one worker, in ranges, lowest first; no number is
dealt again unless that worker has given it back. Of a feed that begins anew at its end numbers go
on without end, and a worker takes them modulo the number of rows.

Blocks get smaller towards the end: what a worker wants in hand, beyond what its users wait for, is
cut to an even share of half of what is left. When nothing is left and users still wait, all workers
that may have rows in hand are asked to give them back, and these are dealt again; only when that
brings nothing either has the feed ended. So no row is stranded in a worker that has no use for it.

What a lost worker had in hand is dealt to nobody: which of it was used is not known for sure, and
a row is used at most once.
"""

from __future__ import annotations

from collections.abc import Hashable, Sequence
from dataclasses import dataclass, field
from heapq import heappop, heappush
from math import ceil
from typing import Generic, TypeVar

W = TypeVar("W", bound=Hashable)

Ranges = Sequence[tuple[int, int]]
"""Each the first of some rows and how many follow each other from it."""
MAX_DEALT = 1 << 20
"""Rows that are dealt at once."""


@dataclass
class Dealt(Generic[W]):
    """What is to be told to workers."""

    rows: list[tuple[W, Ranges]] = field(default_factory=list)
    ask_back: list[W] = field(default_factory=list)
    ended: list[W] = field(default_factory=list)


@dataclass
class _Worker:
    """What is known of a worker.

    Attributes:
        in_hand: Rows that it has in hand, at the most.
        sent: Rows that it was given so far.
        waiting: Users of it that wait for a row.
        asked: Whether it is asked to give back what it has.
    """

    in_hand: int = 0
    sent: int = 0
    waiting: int = 0
    asked: bool = False


class Dealer(Generic[W]):
    """Deals the rows of one feed.

    Attributes:
        rows: How many there are.
        wraps: Whether it begins anew at its end.
        dealt: Rows that workers have, or had and did not give back.
        ended: Whether none is left, in no worker.
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
        self, worker: W, waiting: int, ahead: int, in_hand: int = 0, received: int = 0
    ) -> Dealt[W]:
        """A worker needs rows.

        Args:
            worker: Which.
            waiting: How many of its users wait.
            ahead: How many it would like to have in hand beside.
            in_hand: How many it has.
            received: How many it was given, as far as it knows.
        """
        one = self._workers.setdefault(worker, _Worker())
        coming = one.sent - received  # which the worker did not know of when it asked
        one.in_hand = in_hand + coming
        one.waiting = max(0, waiting - coming)
        ahead = max(0, ahead - max(0, coming - waiting))
        told: Dealt[W] = Dealt()
        self._give(worker, ahead, told)
        return self._go_on(told)

    def returned(self, worker: W, ranges: Ranges, received: int) -> Dealt[W]:
        """A worker has given back all that it had in hand when it had received so many rows."""
        one = self._workers.setdefault(worker, _Worker())
        one.asked = False
        one.in_hand = one.sent - received
        for first, count in ranges:
            heappush(self._returned, (first, count))
            self._returned_rows += count
            self.dealt -= count
        return self._go_on(Dealt())

    def lost(self, worker: W) -> tuple[int, Dealt[W]]:
        """A worker is gone: how many rows it had in hand at the most, and what follows."""
        one = self._workers.pop(worker, _Worker())
        return one.in_hand, self._go_on(Dealt())

    def _go_on(self, told: Dealt[W]) -> Dealt[W]:
        """Serve those whose users wait, from what others give back if there is nothing else."""
        waiting = [worker for worker, one in self._workers.items() if one.waiting]
        for worker in waiting:
            self._give(worker, 0, told)
        waiting = [worker for worker in waiting if self._workers[worker].waiting]
        if not waiting:
            return told
        # A worker whose users wait has nothing in hand, or its users would not wait.
        for worker, one in self._workers.items():
            if one.in_hand > 0 and not one.asked and waiting != [worker]:
                one.asked = True
                told.ask_back.append(worker)
        if not any(one.asked for one in self._workers.values()):
            self.ended = True
            told.ended += waiting
            for worker in waiting:
                self._workers[worker].waiting = 0
        return told

    def _give(self, worker: W, ahead: int, told: Dealt[W]) -> None:
        """Deal to a worker what its users wait for, and some rows ahead, as far as they reach."""
        one = self._workers[worker]
        if ranges := self._take(one.waiting, ahead):
            self.ended = False
            count = sum(count for _, count in ranges)
            one.sent += count
            one.in_hand += count
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
