"""Compares percentiles of two runs by the shares of samples that are not above them. Pure.

Percentiles cannot be compared by standard errors of their own if there are two kinds of samples: if
1 % are slow, the 99th percentile of identical systems is sometimes that of the fast ones and
sometimes that of the slow ones, and each seems to be precise. What varies smoothly is the share of
samples at or below some x (Woodruff, Journal of the American Statistical Association 47, 1952). So
x is the same percentile of both runs pooled, and the runs' shares at x are compared:

- With k of a block's c samples at or below x, and P of all N, d = k - P c, and the standard error
  of the share is √(Σ d² n / (n - 1) · n / m) / N, with n blocks of the effective sample size m
  (`noise.effective_size`).
- A histogram has whole cells only. x is the end of a cell or of the one before, whichever lies
  between the two percentiles; if both do, the less significant one.

So a few seconds in which the target stalled, with few but very long samples, do not hide a change
of the median. The noise shown is how far apart the percentiles would be if the shares differed just
enough to be significant.
"""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import accumulate
from math import sqrt

from amoc.base.clock import S_NS
from amoc.metrics.histogram import Histogram, cell_of, end_ns
from amoc.results.compare.noise import Estimate, SteadyState, effective_size

MIN_BEYOND = 5
"""Samples needed beyond a percentile; with fewer it is not tested."""
CELL = 1 / 128
"""Width of a histogram's cell, relative to the durations in it."""


class Ranked:
    """Counts of samples not above a duration, computed once for a fixed histogram.

    Attributes:
        count: The number of samples.
    """

    def __init__(self, histogram: Histogram) -> None:
        self._cells = sorted(histogram.cells)
        self._reached = [0, *accumulate(map(histogram.cells.__getitem__, self._cells))]
        self.count = self._reached[-1]

    def not_above(self, cell: int) -> int:
        """Return how many samples are not above those of `cell`."""
        return self._reached[bisect_right(self._cells, cell)]


@dataclass(frozen=True)
class Percentile:
    """A percentile of a run, with the data needed to compare it with that of another run.

    Attributes:
        fraction: 0.99 is the 99th percentile.
        value: In seconds.
        whole: All samples.
        blocks: The samples of each block, in order.
    """

    fraction: float
    value: float
    whole: Histogram
    blocks: Sequence[Ranked]

    @property
    def resolution(self) -> float:
        """The smallest difference that can be resolved, in seconds."""
        return self.value * CELL

    def p_value(self, other: Percentile) -> float:
        """Return the probability of so large a difference between runs of the same system."""
        if abs(self.value - other.value) <= max(self.resolution, other.resolution):
            return 1.0
        return max(one.p_value(another) for one, another in self._shares(other))

    def critical_difference(self, other: Percentile, level: float) -> float:
        """Return the smallest difference whose p-value is below `level`.

        It follows from the distribution near both percentiles. If these are farther apart than
        that, because of a gap or a cluster of samples, the test of the shares decides.
        """
        pairs = self._shares(other)
        needed = [one.critical_difference(another, level) for one, another in pairs]
        resolution = max(self.resolution, other.resolution)
        half = max(needed) / 2
        both = _pooled(self.whole, other.whole)
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
        """Return the shares of both runs at or below durations between their percentiles."""
        both = _pooled(self.whole, other.whole)
        common = _cell(both.quantiles_s(self.fraction)[0])
        low, high = sorted((_cell(self.value), _cell(other.value)))
        cells = [cell for cell in (common - 1, common) if low <= cell < high] or [common]
        return [(self._share(cell), other._share(cell)) for cell in cells]

    def _share(self, cell: int) -> Estimate:
        number = len(self.blocks)
        count = sum(one.count for one in self.blocks)
        share = sum(one.not_above(cell) for one in self.blocks) / count
        apart = [one.not_above(cell) - share * one.count for one in self.blocks]
        size = effective_size(apart)
        spread = sum(one * one for one in apart) * number / (number - 1)
        return Estimate(share, sqrt(spread * number / size) / count, size - 1, 1 / count)


def percentiles(
    steady: SteadyState, timer: str, fractions: Sequence[float]
) -> list[Percentile | None]:
    """Return percentiles of a timer; None for those with too few samples.

    Args:
        steady: The steady state of a run.
        timer: The timer's name.
        fractions: 0.99 is the 99th percentile.
    """
    whole = steady.whole.timers.get(timer)
    if whole is None or not steady.blocks:
        return [None] * len(fractions)
    nothing = Histogram()
    blocks = [Ranked(one.get(timer, nothing)) for one in steady.block_timers]
    values, count = whole.quantiles_s(*fractions), whole.count
    return [
        Percentile(fraction, value, whole, blocks) if _enough(count, fraction) else None
        for fraction, value in zip(fractions, values, strict=True)
    ]


def _enough(count: int, fraction: float) -> bool:
    return count * min(fraction, 1 - fraction) >= MIN_BEYOND * (1 - 1e-9)


def _pooled(one: Histogram, other: Histogram) -> Histogram:
    both = Histogram(dict(one.cells), one.max_ns)
    both.add(other.cells, other.max_ns)
    return both


def _cell(duration_s: float) -> int:
    return cell_of(round(duration_s * S_NS))


def _within(histogram: Histogram, fraction: float) -> float:
    """Return a quantile in seconds, as if the durations in a cell were evenly spread over it."""
    wanted, below = max(0.0, min(1.0, fraction)) * histogram.count, 0
    for cell, count in sorted(histogram.cells.items()):
        if below + count >= wanted:
            begin = end_ns(cell - 1) + 1 if cell else 0
            end = min(end_ns(cell) + 1, max(begin, histogram.max_ns))
            return (begin + (end - begin) * (wanted - below) / count) / S_NS
        below += count
    return histogram.max_ns / S_NS
