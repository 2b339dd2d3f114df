"""Whether two runs differ by more than their own noise. Pure.

A figure of a run (a rate, a percentile) is taken from the whole of its steady part, and its noise
from how it varies between blocks of that part:

- The steady part is cut into n = 30 blocks of equal length; more and shorter ones would say no
  more (Schmeiser, Operations Research 30, 1982). There are fewer, down to 10, where there are not
  as many seconds; with less than 10 seconds nothing is said.
- Of a rate or a mean X, with x that of each block, s² = Σ (x - X)² / (n - 1).
- Percentiles are compared by shares of durations, see `amoc.results.compare.quantile_test`.
- Neighbouring blocks are alike. With r the lag-1 autocorrelation of what varies, corrected for its
  bias by (1 + 4 r) / n and never below 0, they are worth m = n (1 - r) / (1 + r) blocks that are
  not, but at least 2; s / √m is the standard error (Zwiers and von Storch, Journal of Climate 8,
  1995).
- Two figures are compared as by Welch, with m - 1 degrees of freedom each.

Of many figures that are compared at once some would differ by chance. Holm's procedure (1979) keeps
the chance that any of them is said to differ when none does at `LEVEL`.

What is smaller than the resolution of a figure never counts: one cell of a histogram, one event at
the edge of the time that is looked at. Noise between runs, such as that of another host or another
day, is not seen here: it takes several runs of each kind to know it.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from itertools import accumulate, pairwise
from math import atan, cos, exp, lgamma, log, pi, sqrt
from typing import Protocol, Self

from amoc.results.run_totals import Adding, together
from amoc.results.series import Point, Tally

LEVEL = 0.01
MIN_BLOCKS, MAX_BLOCKS = 10, 30
MIN_WORTH = 2.0
"""However alike blocks are: with one degree of freedom hardly anything is beyond the noise."""
ROUNDING = 1e-6
"""Share of a mean that is nothing but rounding: the series has six decimals."""
_STEPS = 400
_MAX_NEWTON, _EXACT = 50, 1e-9


class Known(Protocol):
    """A figure of a run that can be compared with the same of another."""

    @property
    def resolution(self) -> float:
        """What it cannot tell apart."""

    def chance(self, other: Self, /) -> float:
        """How probable so great a difference is where there is none."""

    def reach(self, other: Self, level: float, /) -> float:
        """How far apart two figures must be, so that the chance of it is below `level`."""


@dataclass(frozen=True)
class Estimate:
    """A figure, and how well it is known.

    Attributes:
        value: The figure.
        error: Its standard error.
        freedom: Degrees of freedom of that.
        resolution: What it cannot tell apart.
    """

    value: float
    error: float
    freedom: float
    resolution: float

    def chance(self, other: Estimate) -> float:
        """How probable so great a difference is where there is none."""
        difference = abs(self.value - other.value)
        if difference <= max(self.resolution, other.resolution):
            return 1.0
        error, freedom = _of_difference(self, other)
        return tails(difference / error, freedom) if error else 0.0

    def reach(self, other: Estimate, level: float) -> float:
        """How far apart two figures must be, so that the chance of it is below `level`."""
        error, freedom = _of_difference(self, other)
        beyond = error * student(level, freedom) if error else 0.0
        return max(beyond, self.resolution, other.resolution)


def estimate(whole: float, blocks: Sequence[float], resolution: float) -> Estimate | None:
    """What is known of a rate or a mean.

    Args:
        whole: The figure, of the whole time.
        blocks: The same of each block, in order; None is said of too few.
        resolution: What it cannot tell apart.
    """
    count = len(blocks)
    if count < MIN_BLOCKS:
        return None
    spread = sum((one - whole) ** 2 for one in blocks) / (count - 1)
    independent = worth(blocks)
    return Estimate(whole, sqrt(spread / independent), independent - 1, resolution)


def worth(blocks: Sequence[float]) -> float:
    """How many independent blocks these are worth."""
    alike = likeness(blocks)
    return max(MIN_WORTH, len(blocks) * (1 - alike) / (1 + alike))


def likeness(blocks: Sequence[float]) -> float:
    """The lag-1 autocorrelation, corrected for its bias, from 0 to below 1."""
    count = len(blocks)
    mean = sum(blocks) / count
    apart = [one - mean for one in blocks]
    variance = sum(one * one for one in apart)
    if not variance:
        return 0.0
    raw = sum(one * other for one, other in pairwise(apart)) / variance
    return min(0.99, max(0.0, raw + (1 + 4 * raw) / count))


def _of_difference(one: Estimate, other: Estimate) -> tuple[float, float]:
    """Standard error of the difference, and its degrees of freedom (Welch)."""
    first, second = one.error**2, other.error**2
    if not first + second:
        return 0.0, 1.0
    freedom = (first + second) ** 2 / (first**2 / one.freedom + second**2 / other.freedom)
    return sqrt(first + second), freedom


def tails(t: float, freedom: float) -> float:
    """The probability that Student's t is farther from 0 than `t`, for 1 or more degrees.

    With t = √freedom tan θ its density is a power of cos θ, which Simpson's rule integrates.
    """
    begin = atan(abs(t) / sqrt(freedom))
    step = (pi / 2 - begin) / _STEPS
    total = 0.0
    for number in range(_STEPS + 1):
        weight = 1 if number in (0, _STEPS) else 4 if number % 2 else 2
        total += weight * max(0.0, cos(begin + number * step)) ** (freedom - 1)
    scale = exp(lgamma((freedom + 1) / 2) - lgamma(freedom / 2)) / sqrt(pi)
    return min(1.0, 2 * scale * total * step / 3)


def student(level: float, freedom: float) -> float:
    """The t beyond which Student's t lies in `level` of cases: what `tails` is the inverse of.

    By Newton's method. Over log t, log tails is concave and falls, so steps that come from above
    never pass the root; those from below are kept short, for tails must not become 0.
    """
    scale = exp(lgamma((freedom + 1) / 2) - lgamma(freedom / 2)) / sqrt(pi * freedom)
    t = 1.0
    for _ in range(_MAX_NEWTON):
        beyond = tails(t, freedom)
        density = 2 * scale * (1 + t * t / freedom) ** (-(freedom + 1) / 2)
        step = min(1.0, log(beyond / level) * beyond / (t * density))
        t *= exp(step)
        if abs(step) < _EXACT:
            break
    return t


def beyond_chance(chances: Sequence[float], level: float = LEVEL) -> list[bool]:
    """Which of several comparisons hold, so that any at all does wrongly in `level` of cases."""
    held = [False] * len(chances)
    ranked = sorted(range(len(chances)), key=chances.__getitem__)
    for passed, number in enumerate(ranked):
        if chances[number] > level / (len(chances) - passed):
            break
        held[number] = True
    return held


@dataclass(frozen=True)
class Steady:
    """A steady part of a run: the sum of it, and of each of its blocks.

    Attributes:
        whole: All of it.
        blocks: In order; none where there are too few seconds.
    """

    whole: Tally
    blocks: Sequence[Tally]

    @classmethod
    def of(cls, points: Iterable[Point], spans_s: Sequence[float]) -> Steady:
        """The steady part that `points` are.

        Args:
            points: In order; they are gone through once.
            spans_s: How long each of them was.
        """
        parts = blocks_of(spans_s)
        if not parts:
            return cls(Tally.of(points), [])
        adding, at = [Adding() for _ in parts], 0
        for number, point in enumerate(points):
            while number >= parts[at].stop and at < len(parts) - 1:
                at += 1
            adding[at].add(point)
        blocks = [one.tally for one in adding]
        return cls(together(blocks), blocks)


def blocks_of(spans_s: Sequence[float]) -> list[range]:
    """Blocks of about equal length, as ranges of seconds; none where there are too few.

    Args:
        spans_s: How long each second was.
    """
    whole_s = sum(spans_s)
    count = min(MAX_BLOCKS, len(spans_s))
    if count < MIN_BLOCKS:
        return []
    sizes = [0] * count
    passed_s = 0.0
    for span_s in spans_s:
        middle_s = passed_s + span_s / 2
        sizes[min(count - 1, int(count * middle_s / whole_s))] += 1
        passed_s += span_s
    ends = list(accumulate(sizes))
    return [range(end - size, end) for size, end in zip(sizes, ends, strict=True) if size]


def rate(steady: Steady, count: Callable[[Tally], float]) -> Estimate | None:
    """How often a second something was counted; None where that is too uncertain."""
    whole = steady.whole
    if not steady.blocks or not whole.span_s:
        return None
    blocks = [count(one) / one.span_s for one in steady.blocks if one.span_s]
    return estimate(count(whole) / whole.span_s, blocks, 1 / whole.span_s)


def level(spans_s: Sequence[float], values: Sequence[float]) -> Estimate | None:
    """How high something was in the mean.

    Args:
        spans_s: How long the seconds were in which that is known.
        values: How high it was in each of them.
    """
    blocks = [_mean(values[one.start : one.stop]) for one in blocks_of(spans_s)]
    whole = _mean(values)
    return estimate(whole, blocks, ROUNDING * abs(whole)) if blocks else None


def _mean(values: Sequence[float]) -> float:
    return sum(values) / len(values) if values else 0.0
