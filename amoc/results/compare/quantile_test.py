"""Percentiles of two runs, compared by the shares of durations that are not above one. Pure.

A percentile cannot be compared by an error of its own where durations are of two kinds: with 1 % of
them slow, the 99th percentile of like runs is now that of the fast ones and now that of the slow,
and each seems to be well known. What varies calmly is the share of durations at or below some x
(Woodruff, Journal of the American Statistical Association 47, 1952). So x is taken from both runs
together, as their common percentile, and the runs' shares at x are compared:

- With k of a block's c durations at or below x, and P of all N, d = k - P c, and the share's
  standard error is √(Σ d² n / (n - 1) · n / m) / N, with n blocks that are worth m (`noise.worth`).
- A histogram knows whole cells. x is the end of a cell or of the one before, whichever lies
  between the two percentiles; if both do, the one that says less.

So some seconds in which the target stood still, with few but very long durations, do not hide that
the median has changed. As noise is shown how far apart the percentiles would be if the shares
differed by as much as they must.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from math import sqrt

from amoc.base.clock import S_NS
from amoc.metrics.histogram import Histogram, cell_of, end_ns
from amoc.results.compare.noise import Estimate, Steady, worth

MIN_BEYOND = 5
"""Durations beyond a percentile, or nothing is said of it."""
CELL = 1 / 128
"""Width of a histogram's cell, as a share of the durations in it."""


@dataclass(frozen=True)
class Percentile:
    """A percentile of a run, and what is needed to compare it with that of another.

    Attributes:
        fraction: 0.99 is the 99th percentile.
        value: In seconds.
        whole: The durations.
        blocks: The same of each block, in order.
    """

    fraction: float
    value: float
    whole: Histogram
    blocks: Sequence[Histogram]

    @property
    def resolution(self) -> float:
        """What it cannot tell apart, in seconds."""
        return self.value * CELL

    def chance(self, other: Percentile) -> float:
        """How probable so great a difference is where there is none."""
        if abs(self.value - other.value) <= max(self.resolution, other.resolution):
            return 1.0
        return max(one.chance(another) for one, another in self._shares(other))

    def reach(self, other: Percentile, level: float) -> float:
        """How far apart the two must be, so that the chance of it is below `level`.

        It is that of the durations as they are spread near both percentiles. Where these are
        farther apart than that, in a gap or in a heap of durations, what is said of the shares
        decides.
        """
        pairs = self._shares(other)
        needed = [one.reach(another, level) for one, another in pairs]
        resolution = max(self.resolution, other.resolution)
        half = max(needed) / 2
        both = _together(self.whole, other.whole)
        spread = _within(both, self.fraction + half) - _within(both, self.fraction - half)
        difference = abs(self.value - other.value)
        if difference <= resolution:
            return max(spread, resolution)
        apart = [abs(one.value - another.value) for one, another in pairs]
        if any(found <= least for found, least in zip(apart, needed, strict=True)):
            return max(spread, difference)
        share = max(least / found for found, least in zip(apart, needed, strict=True))
        return max(resolution, min(spread, difference * share))

    def _shares(self, other: Percentile) -> list[tuple[Estimate, Estimate]]:
        """The shares of both runs that are at or below what lies between their percentiles."""
        both = _together(self.whole, other.whole)
        common = _cell(both.quantiles_s(self.fraction)[0])
        low, high = sorted((_cell(self.value), _cell(other.value)))
        cells = [cell for cell in (common - 1, common) if low <= cell < high] or [common]
        return [(self._share(cell), other._share(cell)) for cell in cells]

    def _share(self, cell: int) -> Estimate:
        count, number = self.whole.count, len(self.blocks)
        share = _not_above(self.whole, cell) / count
        apart = [_not_above(one, cell) - share * one.count for one in self.blocks]
        independent = worth(apart)
        spread = sum(one * one for one in apart) * number / (number - 1)
        return Estimate(
            share, sqrt(spread * number / independent) / count, independent - 1, 1 / count
        )


def percentiles(steady: Steady, timer: str, fractions: Sequence[float]) -> list[Percentile | None]:
    """Percentiles of a timer; None where that is too uncertain.

    Args:
        steady: What is looked at.
        timer: Its name.
        fractions: 0.99 is the 99th percentile.
    """
    whole = steady.whole.timers.get(timer)
    if whole is None or not steady.blocks:
        return [None] * len(fractions)
    nothing = Histogram()
    blocks = [one.timers.get(timer, nothing) for one in steady.blocks]
    values, count = whole.quantiles_s(*fractions), whole.count
    return [
        Percentile(fraction, value, whole, blocks) if _enough(count, fraction) else None
        for fraction, value in zip(fractions, values, strict=True)
    ]


def _enough(count: int, fraction: float) -> bool:
    return count * min(fraction, 1 - fraction) >= MIN_BEYOND * (1 - 1e-9)


def _together(one: Histogram, other: Histogram) -> Histogram:
    both = Histogram(dict(one.cells), one.max_ns)
    both.add(other.cells, other.max_ns)
    return both


def _cell(duration_s: float) -> int:
    return cell_of(round(duration_s * S_NS))


def _within(histogram: Histogram, fraction: float) -> float:
    """A quantile in seconds, as if the durations in a cell lay evenly in it."""
    wanted, below = max(0.0, min(1.0, fraction)) * histogram.count, 0
    for cell, count in sorted(histogram.cells.items()):
        if below + count >= wanted:
            begin = end_ns(cell - 1) + 1 if cell else 0
            end = min(end_ns(cell) + 1, max(begin, histogram.max_ns))
            return (begin + (end - begin) * (wanted - below) / count) / S_NS
        below += count
    return histogram.max_ns / S_NS


def _not_above(histogram: Histogram, cell: int) -> int:
    """How many durations are not above those of `cell`."""
    return sum(count for one, count in histogram.cells.items() if one <= cell)
