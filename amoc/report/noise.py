"""Whether two runs differ by more than their own noise. Pure.

A figure of a run (a rate, a percentile) is taken from the whole of its steady part, and its noise
from how it varies between blocks of that part:

- The steady part is cut into n = 30 blocks of equal length; more and shorter ones would say no
  more (Schmeiser, Operations Research 30, 1982). There are fewer, down to 10, where there are not
  as many seconds; and down to 5 for a percentile, so that a block has enough durations for it.
- With x the figure of each block and X that of the whole, s² = Σ (x - X)² / (n - 1). Taking X and
  not the blocks' mean keeps the bias that percentiles of few durations have out of the figure and
  puts it into the noise ("sectioning": Asmussen and Glynn, Stochastic Simulation, 2007, III.5).
- Neighbouring blocks are alike. With r their lag-1 autocorrelation, corrected for its bias by
  (1 + 4 r) / n and never below 0, they are worth m = n (1 - r) / (1 + r) blocks that are not, but
  at least 2, and the standard error is s / √m (Zwiers and von Storch, Journal of Climate 8, 1995).
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
from itertools import pairwise
from math import atan, cos, exp, inf, lgamma, pi, sqrt

from amoc.histogram import Histogram
from amoc.series import Point

LEVEL = 0.01
LEAST_SECONDS = 10
LEAST_BLOCKS, MOST_BLOCKS = 5, 30
LEAST_WORTH = 2.0
"""However alike blocks are: with one degree of freedom hardly anything is beyond the noise."""
CELL = 1 / 128
"""Width of a histogram's cell, as a share of the durations in it."""
_STEPS = 400


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


def estimate(whole: float, blocks: Sequence[float], resolution: float) -> Estimate | None:
    """What is known of a figure.

    Args:
        whole: The figure, of the whole time.
        blocks: The same of each block, in order.
        resolution: What it cannot tell apart.

    Returns:
        None where the blocks are too few.
    """
    count = len(blocks)
    if count < LEAST_BLOCKS:
        return None
    spread = sum((one - whole) ** 2 for one in blocks) / (count - 1)
    alike = likeness(blocks)
    worth = max(LEAST_WORTH, count * (1 - alike) / (1 + alike))
    return Estimate(whole, sqrt(spread / worth), worth - 1, resolution)


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


def chance(one: Estimate, other: Estimate) -> float:
    """How probable so great a difference is where there is none."""
    difference = abs(one.value - other.value)
    if difference <= max(one.resolution, other.resolution):
        return 1.0
    first, second = one.error**2, other.error**2
    if not first + second:
        return 0.0
    freedom = (first + second) ** 2 / (first**2 / one.freedom + second**2 / other.freedom)
    return tails(difference / sqrt(first + second), freedom)


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


def beyond_chance(chances: Sequence[float], level: float = LEVEL) -> list[bool]:
    """Which of several comparisons hold, so that any at all does wrongly in `level` of cases."""
    held = [False] * len(chances)
    ranked = sorted(range(len(chances)), key=chances.__getitem__)
    for passed, number in enumerate(ranked):
        if chances[number] > level / (len(chances) - passed):
            break
        held[number] = True
    return held


def blocks_of(points: Sequence[Point], most: float = inf) -> list[list[Point]]:
    """`points` in blocks of about equal length; no blocks where there are too few points.

    Args:
        points: Seconds, in order.
        most: Blocks that the figure allows.
    """
    span_s = sum(point.span_s for point in points)
    count = int(min(MOST_BLOCKS, len(points), most))
    if count < LEAST_BLOCKS or len(points) < LEAST_SECONDS:
        return []
    blocks: list[list[Point]] = [[] for _ in range(count)]
    passed_s = 0.0
    for point in points:
        middle_s = passed_s + point.span_s / 2
        blocks[min(count - 1, int(count * middle_s / span_s))].append(point)
        passed_s += point.span_s
    return [block for block in blocks if block]


def rate(points: Sequence[Point], count: Callable[[Point], float]) -> Estimate | None:
    """How often a second something was counted; None where that is too uncertain."""
    blocks = [_per_s(block, count) for block in blocks_of(points)]
    span_s = sum(point.span_s for point in points)
    return estimate(_per_s(points, count), blocks, 1 / span_s) if blocks else None


def level(points: Sequence[Point], value: Callable[[Point], float | None]) -> Estimate | None:
    """How high something was in the mean; seconds that do not know it are left out."""
    known = [point for point in points if value(point) is not None]
    blocks = [_mean(block, value) for block in blocks_of(known)]
    return estimate(_mean(known, value), blocks, 0.0) if blocks else None


def percentiles(
    points: Sequence[Point], timer: str, fractions: Sequence[float]
) -> list[Estimate | None]:
    """Percentiles of a timer, in seconds; None where that is too uncertain.

    Args:
        points: Seconds, in order.
        timer: Its name.
        fractions: 0.99 is the 99th percentile. A block has as many durations that one of them at
            least is beyond it.
    """
    whole = merged(points, timer)
    values, count = whole.quantiles_s(*fractions), whole.count
    found: list[Estimate | None] = []
    cut: dict[int, list[Histogram]] = {}
    for fraction, value in zip(fractions, values, strict=True):
        blocks = blocks_of(points, count * (1 - fraction) + 1e-9)
        if len(blocks) not in cut:
            cut[len(blocks)] = [merged(block, timer) for block in blocks]
        told = [one.quantiles_s(fraction)[0] for one in cut[len(blocks)] if one.count]
        found.append(estimate(value, told, value * CELL))
    return found


def merged(points: Iterable[Point], timer: str) -> Histogram:
    """What a timer recorded in all of `points`."""
    total = Histogram()
    for point in points:
        if (one := point.timers.get(timer)) is not None:
            total.add(one.cells, one.max_ns)
    return total


def _per_s(points: Sequence[Point], count: Callable[[Point], float]) -> float:
    span_s = sum(point.span_s for point in points)
    return sum(map(count, points)) / span_s if span_s else 0.0


def _mean(points: Sequence[Point], value: Callable[[Point], float | None]) -> float:
    return sum(value(point) or 0.0 for point in points) / len(points) if points else 0.0
