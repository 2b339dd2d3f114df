"""The rows that a worker has in hand of a feed, and how many it wants there. Pure.

A worker asks for the next block when half of the last one is used, so that users find rows in hand.
A block is what it uses in some 200 ms: the number doubles where a block has not lasted that long,
and halves where it has lasted ten times as long. So a worker that is killed takes little along.
"""

from __future__ import annotations

from collections import deque

from amoc.base.clock import MS_NS

MIN_BLOCK = 4
MAX_BLOCK = 4_096
LASTS_NS = 200 * MS_NS
CHUNK = 256
"""Rows that are read together; it takes less than a millisecond."""


class Hand:
    """Ranges of rows, in the order in which they are to be used.

    Attributes:
        block: How many rows the worker wants at once.
    """

    def __init__(self) -> None:
        self.block = MIN_BLOCK
        self._ranges: deque[tuple[int, int]] = deque()
        self._count = 0
        self._dealt_ns = 0

    def __len__(self) -> int:
        return self._count

    @property
    def is_low(self) -> bool:
        """Whether it is time for the next block."""
        return self._count <= self.block // 2

    def put(self, first: int, count: int) -> None:
        """Take rows, if there are any; they are used behind those that are there."""
        if count:
            self._ranges.append((first, count))
            self._count += count

    def take(self, most: int) -> tuple[int, int]:
        """The next rows, at most `most` that follow each other; none left if their number is 0."""
        if not self._ranges:
            return 0, 0
        first, count = self._ranges.popleft()
        taken = min(count, most)
        if taken < count:
            self._ranges.appendleft((first + taken, count - taken))
        self._count -= taken
        return first, taken

    def chunk(self) -> int:
        """How many rows to read together: less than a block, so that the next is asked for."""
        return max(1, min(CHUNK, self.block // 2))

    def give_all(self) -> list[tuple[int, int]]:
        """All of them, which are then no longer here."""
        ranges = list(self._ranges)
        self._ranges.clear()
        self._count = 0
        return ranges

    def wants(self, now_ns: int) -> int:
        """How many rows to ask for, beside those that users wait for."""
        lasted_ns = now_ns - self._dealt_ns
        if self._dealt_ns and lasted_ns < LASTS_NS:
            self.block = min(self.block * 2, MAX_BLOCK)
        elif lasted_ns > 10 * LASTS_NS:
            self.block = max(self.block // 2, MIN_BLOCK)
        self._dealt_ns = now_ns
        return self.block
