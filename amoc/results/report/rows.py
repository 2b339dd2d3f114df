"""A row of charts: neighbouring points of a run, merged. Pure.

Counts are added, of levels the highest and the last are kept, and of samples the percentiles of all
of them. The points themselves are not kept: of a run of a day there are too many.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from math import isfinite
from typing import TypeVar

from amoc.metrics.health_figures import TIMES, NodePoint, WorkerPoint
from amoc.metrics.timer_statistics import FRACTIONS
from amoc.results.counts import joined, samples
from amoc.results.series import Point, ThrottlePoint

N = TypeVar("N", int, float)

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
    busy = [sum(one.cpu for one in point.workers) for point in points if point.workers]
    return Row(
        t_s,
        active,
        len(points),
        counted.span_s,
        counted,
        _highest(t_s, points),
        replace(points[-1], timers={}, counters={}, crashes={}),
        max(busy, default=None),
        _durations(points, timers),
    )


def _durations(points: Sequence[Point], timers: Collection[str]) -> dict[str, Sequence[float]]:
    found: dict[str, Sequence[float]] = {}
    for name in timers:
        merged = samples(points, name)
        if merged.cells:
            found[name] = (*merged.quantiles_s(*FRACTIONS), merged.max_ns / 1e9)
    return found


# The highest


def _highest(t_s: float, points: Sequence[Point]) -> Point:
    users: dict[str, int] = {}
    gauges: dict[str, float] = {}
    waiting: dict[str, int] = {}
    for point in points:
        _raise(users, point.users)
        _raise(gauges, {name: one for name, one in point.gauges.items() if isfinite(one)})
        _raise(waiting, {name: one.waiting for name, one in point.throttles.items()})
    return Point(
        t_s,
        1.0,
        users=users,
        gauges=gauges,
        throttles={name: ThrottlePoint(waiting=most) for name, most in waiting.items()},
        workers=_workers(points),
        nodes=_nodes(points),
        controller_cpu=max(point.controller_cpu for point in points),
        controller_lag_s=max(point.controller_lag_s for point in points),
    )


def _raise(levels: dict[str, N], more: Mapping[str, N]) -> None:
    for name, level in more.items():
        levels[name] = max(level, levels.get(name, level))


def _workers(points: Iterable[Point]) -> list[WorkerPoint]:
    """Each worker at its worst."""
    workers: dict[tuple[str, int], list[tuple[WorkerPoint, float]]] = {}
    for point in points:
        for one in point.workers:
            found = workers.setdefault((one.node, one.worker), [])
            found.append((one, point.span_s or 1.0))
    return [
        WorkerPoint(
            **{
                name: max(
                    getattr(one, name) / span_s if name in TIMES else getattr(one, name)
                    for one, span_s in found
                )
                for name in vars(found[0][0])
            }
        )
        for found in workers.values()
    ]


def _nodes(points: Iterable[Point]) -> list[NodePoint]:
    """Each host at its busiest; memory is as it was then."""
    hosts: dict[str, NodePoint] = {}
    for point in points:
        for node in point.nodes:
            before = hosts.get(node.name)
            if before is None or node.cpu > before.cpu:
                hosts[node.name] = node
    return list(hosts.values())
