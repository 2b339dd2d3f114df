"""Log-linear histograms: how durations are kept in memory, and percentiles read from them. Pure.

A duration of v nanoseconds falls into a cell by its leading eight bits: below 256 ns a cell is one
nanosecond wide, above that each power of two is cut into 128 cells of equal width. So a cell is at
most 1/128 of its value wide, and its middle is at most 0.4 % from any value in it.
The cells reach past one hour; what is longer goes into the last cell, and the largest value is kept
exactly beside them. Merging is addition, cell by cell, in any order.

The count and the mean are derived from the cells alone, so they cannot disagree with the
percentiles, even when they are read while the writer is at work.
"""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from itertools import accumulate
from math import ceil

ROW = 128
"""Cells of equal width; those of a power of two."""
ROWS = 36
CELLS = ROWS * ROW
"""Cells of one histogram; the last of them ends at 2**42 ns, 73 minutes."""

LAST_CELL = CELLS - 1


def cell_of(ns: int) -> int:
    """The cell for a duration of `ns` nanoseconds; negative ones count as 0."""
    if ns < 0:
        return 0
    shift = ns.bit_length() - 8
    cell = ns if shift < 0 else (shift << 7) + (ns >> shift)
    return cell if cell < LAST_CELL else LAST_CELL  # noqa: FURB136 - min() takes twice as long


def _middle_ns(cell: int) -> float:
    if cell < 256:
        return float(cell)
    shift = (cell >> 7) - 1
    return float(((cell & 127) + 128) << shift) + (1 << shift) / 2


_MIDDLES_NS = tuple(map(_middle_ns, range(CELLS)))  # a mean needs thousands of them


def middle_ns(cell: int) -> float:
    """The middle of what falls into `cell`, in nanoseconds."""
    return _MIDDLES_NS[cell]


def end_ns(cell: int) -> int:
    """The largest duration that falls into `cell`, in nanoseconds."""
    if cell < 256:
        return cell
    shift = (cell >> 7) - 1
    return (((cell & 127) + 129) << shift) - 1


MAX_NS = end_ns(LAST_CELL)
"""The longest duration that mean and percentiles know; what is longer counts as this."""


@dataclass
class Histogram:
    """Merged durations, kept sparsely.

    Attributes:
        cells: How often each cell was hit; cells that were not are absent.
        max_ns: The longest duration, exactly.
    """

    cells: dict[int, int] = field(default_factory=dict)
    max_ns: int = 0

    @classmethod
    def of(cls, durations_ns: Iterable[int]) -> Histogram:
        """The histogram of recorded durations, as a worker would have kept it."""
        histogram = cls()
        for ns in durations_ns:
            histogram.add({cell_of(ns): 1}, ns)
        return histogram

    def add(self, cells: Mapping[int, int], max_ns: int) -> None:
        """Merge another histogram's cells and maximum into this one."""
        mine = self.cells
        for cell, count in cells.items():
            mine[cell] = mine.get(cell, 0) + count
        self.max_ns = max(self.max_ns, max_ns)

    @property
    def count(self) -> int:
        """How many durations were recorded."""
        return sum(self.cells.values())

    @property
    def mean_s(self) -> float:
        """The mean in seconds, 0 when nothing was recorded."""
        count = self.count
        total = sum(_MIDDLES_NS[cell] * hits for cell, hits in self.cells.items())
        return total / count / 1e9 if count else 0.0

    def quantiles_s(self, *fractions: float) -> list[float]:
        """The nearest-rank quantiles in seconds, in the order asked for; 0 when nothing is there.

        Args:
            fractions: Each from 0 to 1: 0.99 is the 99th percentile.
        """
        cells = sorted(self.cells)
        reached = [*accumulate(map(self.cells.__getitem__, cells))]
        if not (reached and reached[-1]):
            return [0.0] * len(fractions)
        found = []
        for fraction in fractions:
            rank = max(1, ceil(round(fraction * reached[-1], 6)))  # 0.07 * 100 is above 7
            ns = middle_ns(cells[bisect_left(reached, rank)])
            found.append(min(ns, float(self.max_ns)) / 1e9)
        return found
