"""Whether a change between two runs is significant, that is, exceeds the runs' own noise. Pure.

A statistic of a run (a rate, a percentile) is computed over its whole steady state. Its noise is
estimated from the variation between blocks of the steady state (batch means):

- The steady state is divided into n = 30 blocks of equal length; more and shorter ones would not
  improve the estimate (Schmeiser, Operations Research 30, 1982). If there are fewer seconds than
  that, there are fewer blocks, down to 10; with less than 10 seconds nothing is tested.
- For a rate or a mean X, with x the value of each block, s² = Σ (x - X)² / (n - 1).
- Percentiles are compared by shares of samples, see `amoc.results.compare.quantile_test`.
- Neighbouring blocks are correlated. With r the lag-1 autocorrelation of the varying quantity,
  corrected for its bias by (1 + 4 r) / n and never below 0, the effective sample size is
  m = n (1 - r) / (1 + r), but at least 2; s / √m is the standard error (Zwiers and von Storch,
  Journal of Climate 8, 1995).
- Two runs are compared by Welch's t-test, with m - 1 degrees of freedom each.

When many metrics are tested at once, some would change significantly by chance. Holm's procedure
(1979) keeps the probability that any does, although none has changed, at `SIGNIFICANCE`.

Differences below the resolution of a metric never count: one cell of a histogram, one event at the
edge of the period. Noise between runs, such as another host or another day, is not visible here: to
know it takes several runs of each kind.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from itertools import pairwise
from math import atan, cos, exp, lgamma, log, pi, sqrt
from typing import Protocol, Self

from amoc.metrics.timer_block import TimerBlock
from amoc.results.series import Point, Tally
from amoc.results.store.reader import Fine, stretches
from amoc.results.stretch import Key, Sum, add_levels, seconds_of
from amoc.results.warm_up import WarmUp

SIGNIFICANCE = 0.01
MIN_BLOCKS, MAX_BLOCKS = 10, 30
MIN_EFFECTIVE_SIZE = 2.0
"""The minimum, however correlated blocks are: with too few degrees of freedom nothing would be
significant.
"""
ROUNDING = 1e-6
"""Share of a mean that is only rounding: the series has six decimals."""
_STEPS = 400
_MAX_NEWTON, _EXACT = 50, 1e-9


class Estimated(Protocol):
    """A statistic of a run that can be compared with that of another."""

    @property
    def resolution(self) -> float:
        """The smallest difference that can be resolved."""

    def p_value(self, other: Self, /) -> float:
        """Return the probability of so large a difference between runs of the same system."""

    def critical_difference(self, other: Self, level: float, /) -> float:
        """Return the smallest difference whose p-value is below `level`."""


@dataclass(frozen=True)
class Estimate:
    """A statistic, and its precision.

    Attributes:
        value: The statistic.
        error: Its standard error.
        freedom: The degrees of freedom of that.
        resolution: The smallest difference that can be resolved.
    """

    value: float
    error: float
    freedom: float
    resolution: float

    def p_value(self, other: Estimate) -> float:
        """Return the probability of so large a difference between runs of the same system."""
        difference = abs(self.value - other.value)
        if difference <= max(self.resolution, other.resolution):
            return 1.0
        error, freedom = _of_difference(self, other)
        return two_sided_p(difference / error, freedom) if error else 0.0

    def critical_difference(self, other: Estimate, level: float) -> float:
        """Return the smallest difference whose p-value is below `level`."""
        error, freedom = _of_difference(self, other)
        beyond = error * critical_t(level, freedom) if error else 0.0
        return max(beyond, self.resolution, other.resolution)


def estimate(whole: float, blocks: Sequence[float], resolution: float) -> Estimate | None:
    """Return the estimate of a rate or a mean; None if there are too few blocks.

    Args:
        whole: The value over the whole time.
        blocks: The value of each block, in order.
        resolution: The smallest difference that can be resolved.
    """
    count = len(blocks)
    if count < MIN_BLOCKS:
        return None
    spread = sum((one - whole) ** 2 for one in blocks) / (count - 1)
    size = effective_size(blocks)
    return Estimate(whole, sqrt(spread / size), size - 1, resolution)


def effective_size(blocks: Sequence[float]) -> float:
    """Return the number of independent blocks with the same information as these."""
    lag1 = autocorrelation(blocks)
    return max(MIN_EFFECTIVE_SIZE, len(blocks) * (1 - lag1) / (1 + lag1))


def autocorrelation(blocks: Sequence[float]) -> float:
    """Return the lag-1 autocorrelation, corrected for its bias, from 0 to below 1."""
    count = len(blocks)
    mean = sum(blocks) / count
    apart = [one - mean for one in blocks]
    variance = sum(one * one for one in apart)
    if not variance:
        return 0.0
    raw = sum(one * other for one, other in pairwise(apart)) / variance
    return min(0.99, max(0.0, raw + (1 + 4 * raw) / count))


def _of_difference(one: Estimate, other: Estimate) -> tuple[float, float]:
    """Return the standard error of the difference, and its degrees of freedom (Welch)."""
    first, second = one.error**2, other.error**2
    if not first + second:
        return 0.0, 1.0
    freedom = (first + second) ** 2 / (first**2 / one.freedom + second**2 / other.freedom)
    return sqrt(first + second), freedom


def two_sided_p(t: float, freedom: float) -> float:
    """Return the probability that Student's t is farther from 0 than `t`, for 1 or more degrees.

    With t = √freedom tan θ, its density is a power of cos θ, integrated by Simpson's rule.
    """
    begin = atan(abs(t) / sqrt(freedom))
    step = (pi / 2 - begin) / _STEPS
    total = 0.0
    for number in range(_STEPS + 1):
        weight = 1 if number in (0, _STEPS) else 4 if number % 2 else 2
        total += weight * max(0.0, cos(begin + number * step)) ** (freedom - 1)
    scale = exp(lgamma((freedom + 1) / 2) - lgamma(freedom / 2)) / sqrt(pi)
    return min(1.0, 2 * scale * total * step / 3)


def critical_t(level: float, freedom: float) -> float:
    """Return the t that Student's t exceeds in `level` of cases: the inverse of `two_sided_p`.

    Uses Newton's method. As a function of log t, the log of p is concave and decreasing, so steps
    from above never pass the root. Steps from below are limited, so that p does not become 0.
    """
    scale = exp(lgamma((freedom + 1) / 2) - lgamma(freedom / 2)) / sqrt(pi * freedom)
    t = 1.0
    for _ in range(_MAX_NEWTON):
        beyond = two_sided_p(t, freedom)
        density = 2 * scale * (1 + t * t / freedom) ** (-(freedom + 1) / 2)
        step = min(1.0, log(beyond / level) * beyond / (t * density))
        t *= exp(step)
        if abs(step) < _EXACT:
            break
    return t


def holm(p_values: Sequence[float], level: float = SIGNIFICANCE) -> list[bool]:
    """Return which tests are significant, with any wrong in at most `level` of cases (Holm)."""
    held = [False] * len(p_values)
    ranked = sorted(range(len(p_values)), key=p_values.__getitem__)
    for passed, number in enumerate(ranked):
        if p_values[number] > level / (len(p_values) - passed):
            break
        held[number] = True
    return held


@dataclass(frozen=True)
class SteadyState:
    """The steady state of a run: its sums, and those of each of its blocks.

    Attributes:
        whole: The sum of all of it.
        levels: The sum of each level over its seconds.
        blocks: In order; empty if there are too few seconds.
        block_levels: As `levels`, for each block.
    """

    whole: Tally
    levels: Mapping[Key, Sum]
    blocks: Sequence[Tally] = ()
    block_levels: Sequence[Mapping[Key, Sum]] = ()

    @cached_property
    def block_timers(self) -> list[TimerBlock]:
        """The timers of each block."""
        return [one.timers.packed() for one in self.blocks]

    @classmethod
    def of(
        cls,
        points: Collection[Point],
        warmup_s: float = 0.0,
        on_point: Callable[[Point], object] = lambda _: None,
    ) -> SteadyState:
        """Compute the steady state of the run whose seconds are `points`.

        Args:
            points: In order. They are read twice, in whole minutes where possible.
            warmup_s: The time to exclude at the beginning.
            on_point: Called once with each second or stretch, including those excluded.
        """
        spans = [(one.span_s, seconds_of(one)) for one in running(points, warmup_s, on_point)]
        whole_s, count = sum(span for span, _ in spans), sum(seconds for _, seconds in spans)
        count = min(MAX_BLOCKS, count)
        if count < MIN_BLOCKS:
            count = 1
        tallies = [Tally() for _ in range(count)]
        levels: list[dict[Key, Sum]] = [{} for _ in range(count)]
        passed_s = 0.0

        def block_at(after_s: float) -> int:
            return min(count - 1, int(count * (passed_s + after_s) / whole_s))

        def fine(stretch: Point) -> bool:
            return block_at(0.0) != block_at(stretch.span_s)

        for point in running(points, warmup_s, fine=fine):
            number = block_at(point.span_s / 2)
            tallies[number].add(point)
            add_levels(levels[number], point)
            passed_s += point.span_s
        whole, sums = Tally(), dict[Key, Sum]()
        for tally, some in zip(tallies, levels, strict=True):
            whole.merge(tally)
            for key, (total, known) in some.items():
                before = sums.get(key, (0.0, 0))
                sums[key] = before[0] + total, before[1] + known
        if count == 1:
            return cls(whole, sums)
        used = [number for number, one in enumerate(tallies) if one.points]
        return cls(whole, sums, [tallies[one] for one in used], [levels[one] for one in used])


def running(
    points: Collection[Point],
    warmup_s: float,
    on_point: Callable[[Point], object] = lambda _: None,
    fine: Fine = lambda _: False,
) -> Iterator[Point]:
    """Yield the seconds after the warm-up in which a run was running, by the minute if possible."""
    warmup = WarmUp(warmup_s)
    for point in stretches(points, lambda one: not warmup.over or fine(one)):
        on_point(point)
        if not warmup.take(point) and point.state == "running":
            yield point


def rate(steady: SteadyState, count: Callable[[Tally], float]) -> Estimate | None:
    """Return the rate of a count; None if there are too few blocks."""
    whole = steady.whole.per_second(count)
    if not steady.blocks or whole is None:
        return None
    blocks = [one for block in steady.blocks if (one := block.per_second(count)) is not None]
    return estimate(whole, blocks, 1 / steady.whole.active_s)


def mean(steady: SteadyState, key: Key) -> Estimate | None:
    """Return the mean of a level; None if there are too few blocks."""
    whole = mean_of(steady.levels, key)
    if whole is None:
        return None
    blocks = [one for some in steady.block_levels if (one := mean_of(some, key)) is not None]
    return estimate(whole, blocks, ROUNDING * abs(whole))


def mean_of(levels: Mapping[Key, Sum], key: Key) -> float | None:
    """Return the mean of a level over the seconds in which it is known; None if there are none."""
    total, known = levels.get(key, (0.0, 0))
    return total / known if known else None
