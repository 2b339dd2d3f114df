"""Neighbouring seconds of a run as one long point: what charts and comparisons need of them. Pure.

A `Stretch` is a `Point`: counts and durations are added up, levels are as they are at its end. Of
what is looked at second by second it knows the highest, and the sums that means are made of. So who
adds points up may be given stretches, and who needs each second may not.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, fields, replace
from math import isfinite
from typing import TypeVar

from amoc.base.json_plain import JsonObject
from amoc.metrics.health_figures import TIMES, NodePoint, WorkerPoint
from amoc.results.series import Point, Tally, ThrottlePoint

Key = tuple[str, str, str]
"""Of a level: kind, name and statistic, as of an `amoc.results.compare.comparison.Metric`."""
CPU = "CPU"
Sum = tuple[float, int]
"""The sum of a level's values, and how many there are."""
N = TypeVar("N", int, float)
_POINT = tuple(one.name for one in fields(Point))


@dataclass(frozen=True)
class Stretch(Point):
    """Neighbouring points as one.

    Attributes:
        seconds: How many points it stands for.
        highest: Each level at its highest, whenever that was, see `highest`.
        workers_cpu: CPU of all workers together, in the second in which it was highest.
        levels: The sum of each level over its seconds.
    """

    seconds: int = 1
    highest: Point = field(default_factory=lambda: Point(0.0, 0.0))
    workers_cpu: float | None = None
    levels: Mapping[Key, Sum] = field(default_factory=dict)

    def facts(self) -> dict[str, object]:
        """The stretch without its timers, as JSON."""
        return {
            "counted": super().facts(),
            "seconds": self.seconds,
            "highest": self.highest.facts(),
            "workers_cpu": self.workers_cpu,
            "levels": [[*key, *told] for key, told in self.levels.items()],
        }

    @classmethod
    def from_json(cls, line: JsonObject) -> Stretch:
        """The stretch that `facts` made `line` of.

        Raises:
            ValueError: It is none.
        """
        try:
            counted = Point.from_json(line["counted"])
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
    """Makes a stretch of points that are given one by one; without their timers."""

    def __init__(self) -> None:
        self.seconds = 0
        self._tally = Tally()
        self._highest: Point | None = None
        self._workers_cpu: float | None = None
        self._levels: dict[Key, Sum] = {}

    def add(self, point: Point) -> None:
        """Add the next point."""
        self.seconds += 1
        self._tally.add(point, timers=False)
        before = (self._highest,) if self._highest is not None else ()
        self._highest = highest(point.t_s, (*before, point))
        self._workers_cpu = max_or_none((self._workers_cpu, workers_cpu(point)))
        add_levels(self._levels, point)

    @property
    def is_finite(self) -> bool:
        """Whether all sums are: those of a gauge that is huge may not be."""
        return all(isfinite(total) for total, _ in self._levels.values())

    def made(self) -> Stretch:
        """The stretch of what was added, which is at least one point."""
        counted = joined(self._tally)
        assert self._highest is not None
        return Stretch(
            **{**{name: getattr(counted, name) for name in _POINT}, "timers": {}},
            seconds=self.seconds,
            highest=self._highest,
            workers_cpu=self._workers_cpu,
            levels=self._levels,
        )


def seconds_of(point: Point) -> int:
    """How many seconds of the series a point stands for."""
    return point.seconds if isinstance(point, Stretch) else 1


def joined(whole: Tally) -> Point:
    """The last of some points that were added up, as if it had begun with the first.

    Counts add up, and levels stay.
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
    """Add the levels of a point to sums of them."""
    for key, (value, count) in levels_of(point):
        total, known = sums.get(key, (0.0, 0))
        sums[key] = total + value, known + count


def levels_of(point: Point) -> Iterator[tuple[Key, Sum]]:
    """The levels of a point."""
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
    yield (CPU, "workers", "mean"), sum(one.cpu for one in point.workers)
    yield (CPU, "controller", "mean"), point.controller_cpu
    for node in point.nodes:
        yield (CPU, f"host {node.name}", "mean"), node.cpu


# The highest


def workers_cpu(point: Point) -> float | None:
    """CPU of all workers together, in the second in which it was highest; None without any."""
    if isinstance(point, Stretch):
        return point.workers_cpu
    return sum(one.cpu for one in point.workers) if point.workers else None


def max_or_none(values: Iterable[float | None]) -> float | None:
    """The highest of what is known."""
    return max((one for one in values if one is not None), default=None)


def highest(t_s: float, points: Sequence[Point]) -> Point:
    """Each level of some points at its highest, whenever that was.

    Times of a worker are those in one second, and so is the span.
    """
    peaks = [point.highest if isinstance(point, Stretch) else point for point in points]
    users: dict[str, int] = {}
    gauges: dict[str, float] = {}
    waiting: dict[str, int] = {}
    for point in peaks:
        _raise(users, point.users)
        _raise(gauges, {name: one for name, one in point.gauges.items() if isfinite(one)})
        _raise(waiting, {name: one.waiting for name, one in point.throttles.items()})
    return Point(
        t_s,
        1.0,
        users=users,
        gauges=gauges,
        throttles={name: ThrottlePoint(waiting=most) for name, most in waiting.items()},
        workers=_workers(peaks),
        nodes=_nodes(peaks),
        controller_cpu=max(point.controller_cpu for point in peaks),
        controller_lag_s=max(point.controller_lag_s for point in peaks),
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
