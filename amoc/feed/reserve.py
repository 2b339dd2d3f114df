"""A worker's reserve of a feed's rows, and its target size. Pure.

A worker asks for the next block when half of the last one is used, so that users rarely wait. A
block covers about 200 ms: its size doubles if a block did not last that long, and halves if it
lasted ten times as long. So few rows are lost with a killed worker.
"""

from __future__ import annotations

from collections import deque

from amoc.base.clock import MS_NS

MIN_BLOCK = 4
MAX_BLOCK = 4_096
LASTS_NS = 200 * MS_NS
CHUNK = 256
"""Maximum number of rows read at once, which takes less than a millisecond."""


class Reserve:
    """Ranges of rows, in order of use.

    Attributes:
        block: The number of rows in a block.
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
        """Append a range of rows, possibly empty."""
        if count:
            self._ranges.append((first, count))
            self._count += count

    def take(self, most: int) -> tuple[int, int]:
        """Take the next range of at most `most` rows: its first and its length, 0 if empty."""
        if not self._ranges:
            return 0, 0
        first, count = self._ranges.popleft()
        taken = min(count, most)
        if taken < count:
            self._ranges.appendleft((first + taken, count - taken))
        self._count -= taken
        return first, taken

    def chunk(self) -> int:
        """Return how many rows to read at once: less than a block, to ask for the next in time."""
        return max(1, min(CHUNK, self.block // 2))

    def take_all(self) -> list[tuple[int, int]]:
        """Remove and return all ranges."""
        ranges = list(self._ranges)
        self._ranges.clear()
        self._count = 0
        return ranges

    def wants(self, now_ns: int) -> int:
        """Return how many rows to ask for, in addition to those that users wait for."""
        lasted_ns = now_ns - self._dealt_ns
        if self._dealt_ns and lasted_ns < LASTS_NS:
            self.block = min(self.block * 2, MAX_BLOCK)
        elif lasted_ns > 10 * LASTS_NS:
            self.block = max(self.block // 2, MIN_BLOCK)
        self._dealt_ns = now_ns
        return self.block
