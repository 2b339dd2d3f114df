"""A row of charts: neighbouring points of a run, merged. Pure.

Counts are added; of levels the highest and the last are kept; percentiles are computed over all
samples. The points themselves are not kept: a run of a day has too many.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field, replace

from amoc.metrics.timer_statistics import FRACTIONS
from amoc.results.counts import joined, samples
from amoc.results.series import Point
from amoc.results.stretch import highest, max_or_none, seconds_of, workers_cpu

_NOTHING = Point(0.0, 0.0)


@dataclass(frozen=True)
class Row:
    """The values of charts at one time.

    Attributes:
        t_s: Its place on the time axis.
        active: Whether users could act; if not, zero counts mean nothing.
        seconds: The number of points merged in it; none in a gap.
        span_s: Their total length.
        counted: The sum of their counts, without durations.
        highest: The maximum of each level. A worker's times are those in one second, and so is
            `span_s`.
        last: The levels at the end.
        workers_cpu: CPU of all workers together, in the second in which it was highest.
        durations: By timer, in seconds: the quantiles at `FRACTIONS`, then the maximum.
    """

    t_s: float
    active: bool = False
    seconds: int = 0
    span_s: float = 0.0
    counted: Point = _NOTHING
    highest: Point = _NOTHING
    last: Point = _NOTHING
    workers_cpu: float | None = None
    durations: Mapping[str, Sequence[float]] = field(default_factory=dict)


def row_of(t_s: float, points: Sequence[Point], active: bool, timers: Collection[str] = ()) -> Row:
    """Merge `points` into a row.

    Args:
        t_s: Its place on the time axis.
        points: In order; none in a gap.
        active: Whether users could act.
        timers: The timers whose durations it includes.
    """
    if not points:
        return Row(t_s)
    counted = joined(replace(one, timers={}, gauges={}) for one in points)
    return Row(
        t_s,
        active,
        sum(map(seconds_of, points)),
        counted.span_s,
        counted,
        highest(t_s, points),
        replace(points[-1], timers={}, counters={}, crashes={}),
        max_or_none(map(workers_cpu, points)),
        _durations(points, timers),
    )


def _durations(points: Sequence[Point], timers: Collection[str]) -> dict[str, Sequence[float]]:
    found: dict[str, Sequence[float]] = {}
    for name in timers:
        merged = samples(points, name)
        if merged.cells:
            found[name] = (*merged.quantiles_s(*FRACTIONS), merged.max_ns / 1e9)
    return found
