"""A row of charts: neighbouring points of a run, merged. Pure.

Counts are added, of levels the highest and the last are kept, and of samples the percentiles of all
of them. The points themselves are not kept: of a run of a day there are too many.
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
    """What charts show at one moment.

    Attributes:
        t_s: Where it stands on the time axis.
        active: Whether users could act; if not, that nothing was counted says nothing.
        seconds: How many points are merged in it; none in a gap.
        span_s: How long they were together.
        counted: The sum of what they counted, without durations.
        highest: Each level at its highest, whenever that was. Times of a worker are those in one
            second, and so is its `span_s`.
        last: The levels at the end.
        workers_cpu: CPU of all workers together, in the second in which it was highest.
        durations: By timer, in seconds: the quantiles at `FRACTIONS`, then the longest.
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
    """The row that `points` are merged into.

    Args:
        t_s: Where it stands on the time axis.
        points: In order; none in a gap.
        active: Whether users could act.
        timers: Those that the row is to have durations of.
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
