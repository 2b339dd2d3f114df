"""Neighbouring seconds of a run combined into a long point, for charts and comparisons. Pure.

A `Stretch` is a `Point`: counts and durations are summed, levels have their values at its end. For
what is evaluated second by second, it holds maxima and the sums from which means are computed. So
code that sums points accepts stretches, but code that needs each second must not be given any.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field, fields, replace
from math import isfinite
from typing import Any, Self, TypeAlias, TypeVar

from amoc.base.json_plain import JsonObject
from amoc.metrics.health_figures import TIMES, NodePoint, WorkerPoint
from amoc.metrics.histogram import Histogram
from amoc.metrics.workers_together import Together
from amoc.results.series import Point, Tally, ThrottlePoint

Key = tuple[str, str, str]
"""Identifies a level: kind, name and statistic, as in `amoc.results.compare.comparison.Metric`."""
CPU = "CPU"
Sum = tuple[float, int]
"""The sum of a level's values, and their number."""
N = TypeVar("N", int, float)
_Levels: TypeAlias = dict[str, Any]  # Any: figures of a worker, of several types
_POINT = tuple(one.name for one in fields(Point))


@dataclass(frozen=True)
class Stretch(Point):
    """Neighbouring points combined.

    Attributes:
        seconds: The number of points it stands for.
        highest: The maximum of each level, see `highest`.
        workers_cpu: CPU of all workers together, in the second in which it was highest.
        levels: The sum of each level over its seconds.
    """

    seconds: int = 1
    highest: Point = field(default_factory=lambda: Point(0.0, 0.0))
    workers_cpu: float | None = None
    levels: Mapping[Key, Sum] = field(default_factory=dict)

    def facts(self) -> dict[str, object]:
        """Return the stretch without its timers, as JSON."""
        return {
            "counted": super().facts(),
            "seconds": self.seconds,
            "highest": self.highest.facts(),
            "workers_cpu": self.workers_cpu,
            "levels": [[*key, *told] for key, told in self.levels.items()],
        }

    @classmethod
    def from_json(cls, line: JsonObject, timers: Mapping[str, Histogram] | None = None) -> Self:
        """Return the stretch that `facts` made `line` of; for arguments, see `Point.from_json`.

        Raises:
            ValueError: It is not a stretch.
        """
        try:
            counted = Point.from_json(line["counted"], timers)
            return cls(
                **{name: getattr(counted, name) for name in _POINT},
                seconds=line["seconds"],
                highest=Point.from_json(line["highest"]),
                workers_cpu=line["workers_cpu"],
                levels={(kind, name, of): (x, n) for kind, name, of, x, n in line["levels"]},
            )
        except (TypeError, KeyError) as error:
            raise ValueError(f"not a stretch of a series: {error!r}") from None


class StretchMaker:
    """Makes a stretch from points added one by one, without their timers."""

    def __init__(self) -> None:
        self.seconds = 0
        self._tally = Tally()
        self._highest = Highest()
        self._workers_cpu: float | None = None
        self._levels: dict[Key, Sum] = {}

    def add(self, point: Point) -> None:
        """Add the next point."""
        self.seconds += 1
        self._tally.add(point, timers=False)
        self._highest.add(point)
        self._workers_cpu = max_or_none((self._workers_cpu, workers_cpu(point)))
        add_levels(self._levels, point)

    @property
    def is_finite(self) -> bool:
        """Whether all sums are finite; those of a huge gauge may not be."""
        return all(isfinite(total) for total, _ in self._levels.values())

    def made(self) -> Stretch:
        """Return the stretch of the points added, of which there must be at least one."""
        counted = joined(self._tally)
        return Stretch(
            **{**{name: getattr(counted, name) for name in _POINT}, "timers": {}},
            seconds=self.seconds,
            highest=self._highest.made(counted.t_s),
            workers_cpu=self._workers_cpu,
            levels=self._levels,
        )


def seconds_of(point: Point) -> int:
    """Return how many seconds of the series a point stands for."""
    return point.seconds if isinstance(point, Stretch) else 1


def joined(whole: Tally) -> Point:
    """Return the last of the points in a sum, extended back to the beginning of the first.

    Counts are summed; levels are those of the last point.
    """
    assert whole.last is not None
    return replace(
        whole.last,
        span_s=whole.span_s,
        active_s=whole.active_s,
        starts=whole.starts,
        counters=whole.counters,
        timers=whole.timers,
        crashes=whole.crashes,
        failed_at=whole.failed_at,
        throttles=whole.by_throttle(),
    )


# Levels, for their means


def add_levels(sums: dict[Key, Sum], point: Point) -> None:
    """Add the levels of a point to their sums."""
    for key, (value, count) in levels_of(point):
        total, known = sums.get(key, (0.0, 0))
        sums[key] = total + value, known + count


def levels_of(point: Point) -> Iterator[tuple[Key, Sum]]:
    """Iterate over the levels of a point."""
    if isinstance(point, Stretch):
        yield from point.levels.items()
        return
    for key, value in _levels(point):
        yield key, (value, 1)


def _levels(point: Point) -> Iterator[tuple[Key, float]]:
    if "running" in point.users:
        yield ("users", "running", "mean"), point.users["running"]
    for name, throttle in point.throttles.items():
        yield ("throttles", name, "waiting"), throttle.waiting
        if throttle.wanted is not None and point.active_s:
            yield ("throttles", name, "target rate"), throttle.wanted / point.active_s
    for name, value in point.gauges.items():
        if isfinite(value):
            yield ("gauges", name, "mean"), value
    yield (CPU, "workers", "mean"), workers_cpu(point) or 0
    yield (CPU, "controller", "mean"), point.controller_cpu
    for node in point.nodes:
        yield (CPU, f"host {node.name}", "mean"), node.cpu


# Maxima


def workers_cpu(point: Point) -> float | None:
    """Return the CPU of all workers together, at its maximum in a stretch; None without workers."""
    if isinstance(point, Stretch):
        return point.workers_cpu
    if point.together:
        return sum(one.mean.cpu * one.workers for one in point.together)
    return sum(one.cpu for one in point.workers) if point.workers else None


def max_or_none(values: Iterable[float | None]) -> float | None:
    """Return the maximum of the known values."""
    return max((one for one in values if one is not None), default=None)


class Highest:
    """The maximum of each level over points added one by one.

    A worker's times are those in one second, and so is the span.
    """

    def __init__(self) -> None:
        self._users: dict[str, int] = {}
        self._gauges: dict[str, float] = {}
        self._waiting: dict[str, int] = {}
        self._workers: dict[tuple[str, int], list[Any]] = {}  # Any: as in `_Levels`
        self._together: dict[str, tuple[int, _Levels, _Levels]] = {}
        self._nodes: dict[str, NodePoint] = {}
        self._cpu = self._lag_s = self._round_trip_s = 0.0

    def add(self, point: Point) -> None:
        """Add a point."""
        if isinstance(point, Stretch):
            point = point.highest
        _raise(self._users, point.users)
        _raise(self._gauges, {name: one for name, one in point.gauges.items() if isfinite(one)})
        waiting = self._waiting
        for throttle, one in point.throttles.items():
            if (before := waiting.get(throttle)) is None or before < one.waiting:
                waiting[throttle] = one.waiting
        for worker in point.workers:
            place = worker.node, worker.worker
            levels = [*_in_one_second(worker, point.span_s or 1.0).values()]
            self._workers[place] = [*map(max, self._workers.get(place, levels), levels)]
        for of_node in point.together:
            _, mean, most = self._together.setdefault(of_node.node, (0, {}, {}))
            for some, of_all in zip((mean, most), (of_node.mean, of_node.highest), strict=True):
                _raise(some, _in_one_second(of_all, point.span_s or 1.0))
            self._together[of_node.node] = of_node.workers, mean, most
        for node in point.nodes:  # the busiest second; memory has its value in that second
            busiest = self._nodes.get(node.name)
            if busiest is None or node.cpu > busiest.cpu:
                self._nodes[node.name] = node
        self._cpu = max(self._cpu, point.controller_cpu)
        self._lag_s = max(self._lag_s, point.controller_lag_s)
        self._round_trip_s = max(self._round_trip_s, point.round_trip_s)

    def made(self, t_s: float) -> Point:
        """Return the maxima as a point that ends at `t_s`."""
        return Point(
            t_s,
            1.0,
            users=self._users,
            gauges=self._gauges,
            throttles={name: ThrottlePoint(waiting=most) for name, most in self._waiting.items()},
            workers=[WorkerPoint(*levels) for levels in self._workers.values()],
            together=tuple(
                Together(node, workers, WorkerPoint(**mean), WorkerPoint(**most))
                for node, (workers, mean, most) in self._together.items()
            ),
            nodes=list(self._nodes.values()),
            controller_cpu=self._cpu,
            controller_lag_s=self._lag_s,
            round_trip_s=self._round_trip_s,
        )


def highest(t_s: float, points: Iterable[Point]) -> Point:
    """Return the maximum of each level over some points, see `Highest`."""
    made = Highest()
    for point in points:
        made.add(point)
    return made.made(t_s)


def _raise(levels: dict[str, N], more: Mapping[str, N]) -> None:
    for name, level in more.items():
        if (before := levels.get(name)) is None or before < level:
            levels[name] = level


def _in_one_second(worker: WorkerPoint, span_s: float) -> _Levels:
    """Return a worker's figures, with times converted to one second."""
    levels = {**vars(worker)}
    for name in TIMES:
        levels[name] /= span_s
    return levels
