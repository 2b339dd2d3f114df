"""Log-linear histograms: storage of durations, and percentiles computed from them. Pure.

A duration of v nanoseconds belongs to a cell by its leading eight bits: below 256 ns a cell is one
nanosecond wide, above that each power of two is divided into 128 cells of equal width. So the width
of a cell is at most 1/128 of its values, and its middle is at most 0.4 % from any of them.
The cells reach beyond an hour. Longer durations go into the last cell, and the maximum is kept
exactly, next to the cells. Merging is addition, cell by cell, in any order.

Count and mean are derived from the cells alone, so they cannot contradict the percentiles, even if
they are read while the writer is at work.
"""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from itertools import accumulate
from math import ceil

ROW = 128
"""Cells of equal width that cover a power of two."""
ROWS = 36
CELLS = ROWS * ROW
"""Cells of a histogram; the last one ends at 2**42 ns, 73 minutes."""

LAST_CELL = CELLS - 1


def cell_of(ns: int) -> int:
    """Return the cell for a duration of `ns` nanoseconds; negative ones count as 0."""
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
    """Return the middle of the values in `cell`, in nanoseconds."""
    return _MIDDLES_NS[cell]


def end_ns(cell: int) -> int:
    """Return the largest duration in `cell`, in nanoseconds."""
    if cell < 256:
        return cell
    shift = (cell >> 7) - 1
    return (((cell & 127) + 129) << shift) - 1


MAX_NS = end_ns(LAST_CELL)
"""The longest duration in mean and percentiles; longer ones count as this."""


@dataclass
class Histogram:
    """Merged durations, stored sparsely.

    Attributes:
        cells: The number of hits of each cell; those without hits are absent.
        max_ns: The exact maximum.
    """

    cells: dict[int, int] = field(default_factory=dict)
    max_ns: int = 0

    @classmethod
    def of(cls, durations_ns: Iterable[int]) -> Histogram:
        """Return the histogram of durations, as a worker would have recorded them."""
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
        """The number of recorded durations."""
        return sum(self.cells.values())

    @property
    def mean_s(self) -> float:
        """The mean in seconds, 0 if nothing was recorded."""
        count = self.count
        total = sum(_MIDDLES_NS[cell] * hits for cell, hits in self.cells.items())
        return total / count / 1e9 if count else 0.0

    def quantiles_s(self, *fractions: float) -> list[float]:
        """Return nearest-rank quantiles in seconds, in the order given; 0 if nothing was recorded.

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
