"""The data of a run second by second, and sums of it. Pure.

A `Point` holds the differences between two moments, about a second apart: counts, and recorded
durations as histograms. So points add up: the sum of all of them is the run, the sum of those after
the warm-up is its steady part. Gauges, users and workers have their values at the point's end.

`amoc.results.store` keeps the points of a run in its directory, and `amoc export --jsonl` prints
them, one per line. Fields are named as in `Point.to_json`; fields without a value are absent.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from math import isfinite
from operator import attrgetter
from typing import NamedTuple, Self, TypeVar

from amoc.base.json_plain import JsonObject
from amoc.metrics.health_figures import NodePoint, WorkerPoint
from amoc.metrics.histogram import Histogram
from amoc.metrics.step_names import CAUSE
from amoc.metrics.throttle_counts import ThrottleCounts
from amoc.metrics.timer_statistics import timer_json
from amoc.metrics.timer_sums import TimerSums
from amoc.metrics.workers_together import OF_ALL, Together
from amoc.results.old_names import renamed

K = TypeVar("K")
R = TypeVar("R", bound=WorkerPoint | NodePoint)

GONE = ("finished", "removed", "timed_out", "lost")
"""The ways in which users that had started leave for good."""
USERS = (
    *("running", "resting", "waiting", "started", "finished", "crashed", "removed"),
    *("restarted", "peak", "timed_out", "lost"),
)
"""The counts of users in a point: totals since the run began, except running, resting (running
users that are between two iterations), waiting and peak.
"""


class ThrottlePoint(NamedTuple):
    """A throttle in one second.

    Attributes:
        rate: The configured rate per `interval_s` at the end; None means no limit.
        wanted: The executions due at the rates in force during this second; None if the rate was
            unlimited for any part of it.
        interval_s: 0 if `rate` is a limit on concurrency.
        mode: As in `amoc.throttle.throttle.ThrottleState`; ``stopped`` if it no longer exists.
        requests: As in `ThrottleCounts`, like `executions` and `missed`: in this second.
        waiting: Users waiting at the end.
    """

    rate: float | None = 0.0
    interval_s: float = 0.0
    mode: str = "stopped"
    requests: int = 0
    executions: int = 0
    missed: int = 0
    waiting: int = 0
    wanted: float | None = None

    @property
    def counts(self) -> ThrottleCounts:
        """The counts."""
        return ThrottleCounts(self.requests, self.executions, self.missed)

    @property
    def wanted_per_s(self) -> float | None:
        """The target rate per second; None if there is none."""
        if self.mode in ("paused", "frozen"):
            return 0.0
        return self.rate / self.interval_s if self.rate is not None and self.interval_s else None


@dataclass(frozen=True)
class Point:
    """One second of a run.

    Attributes:
        t_s: Its end: seconds since the first user could start.
        span_s: Its length.
        active_s: The part of it in which the run was running, not paused or ending. The default is
            all of it in state running, otherwise none.
        at: Its end in seconds since 1970, UTC.
        state: The run's state at its end.
        users: As in `USERS`.
        starts: Users that started, without restarts.
        counters: Growth of counters; those of throttles are in `throttles`.
        gauges: Values at the end, each merged over all workers.
        timers: Recorded durations.
        crashes: Iterations that raised, by cause.
        failed_at: When each counter of failures with a cause first and last grew during it, on the
            scale of `t_s`; its beginning and end if nothing more precise is known.
        throttles: Those that exist or were used.
        workers: By node and worker; not all of them if there are many.
        together: The combined workers of each node, in that case.
        nodes: By name.
        controller_cpu: CPU time of the controller, as a share of one core.
        controller_lag_s: The greatest lag of its event loop.
        round_trip_s: The shortest round trip to the farthest node; 0 if all nodes are on the
            controller's host.
        late: Nodes that sent nothing in this second.
    """

    t_s: float
    span_s: float
    active_s: float = -1.0
    at: float = 0.0
    state: str = "running"
    users: Mapping[str, int] = field(default_factory=dict)
    starts: int = 0
    counters: Mapping[str, int] = field(default_factory=dict)
    gauges: Mapping[str, float] = field(default_factory=dict)
    timers: Mapping[str, Histogram] = field(default_factory=dict)
    crashes: Mapping[str, int] = field(default_factory=dict)
    failed_at: Mapping[str, tuple[float, float]] = field(default_factory=dict)
    throttles: Mapping[str, ThrottlePoint] = field(default_factory=dict)
    workers: Sequence[WorkerPoint] = ()
    together: Sequence[Together] = ()
    nodes: Sequence[NodePoint] = ()
    controller_cpu: float = 0.0
    controller_lag_s: float = 0.0
    round_trip_s: float = 0.0
    late: Sequence[str] = ()

    def __post_init__(self) -> None:
        if self.active_s < 0:
            active_s = self.span_s if self.state == "running" else 0.0
            object.__setattr__(self, "active_s", active_s)

    @property
    def begin_s(self) -> float:
        """Its beginning, on the scale of `t_s`."""
        return self.t_s - self.span_s

    def facts(self) -> dict[str, object]:
        """Return the point without its timers; numbers that JSON cannot represent are None."""
        fields = zip(_POINT, _values_of(self), strict=True)
        written = {name: value for name, value in fields if value or name in _ALWAYS}
        if self.gauges:
            written["gauges"] = {
                name: value if isfinite(value) else None for name, value in self.gauges.items()
            }
        written.pop("timers", None)
        if self.throttles:
            written["throttles"] = {name: one._asdict() for name, one in self.throttles.items()}
        for part in ("workers", "nodes"):
            if part in written:
                written[part] = [{**vars(one)} for one in getattr(self, part)]
        if self.together:
            written["together"] = [one.to_json() for one in self.together]
        return written

    def to_json(self) -> dict[str, object]:
        """Return the point as a JSON object, including its histograms."""
        if not self.timers:
            return self.facts()
        timers = {name: timer_json(one) for name, one in self.timers.items()}
        return {**self.facts(), "timers": timers}

    @classmethod
    def from_json(cls, line: JsonObject, timers: Mapping[str, Histogram] | None = None) -> Self:
        """Return the point that `to_json` made `line` of; unknown fields are ignored.

        Args:
            line: The point as JSON.
            timers: Its timers, if they are not in `line`.

        Raises:
            ValueError: It is not a point.
        """
        try:
            fields = {**_known(cls.__dataclass_fields__, line)}
            fields["gauges"] = {
                name: float("nan") if value is None else float(value)
                for name, value in fields.get("gauges", {}).items()
            }
            fields["timers"] = timers or {
                name: Histogram(
                    dict(zip(one["cells"][::2], one["cells"][1::2], strict=True)), one["max_ns"]
                )
                for name, one in fields.get("timers", {}).items()
            }
            fields["throttles"] = {
                name: _throttle(one, fields.get("active_s", fields["span_s"]))
                for name, one in fields.get("throttles", {}).items()
            }
            fields["failed_at"] = {
                name: (first_s, last_s)
                for name, (first_s, last_s) in fields.get("failed_at", {}).items()
            }
            fields["workers"] = [_of(WorkerPoint, one) for one in fields.get("workers", ())]
            fields["together"] = tuple(
                Together(one["node"], one["workers"], *(_of(WorkerPoint, one[of]) for of in OF_ALL))
                for one in fields.get("together", ())
            )
            fields["nodes"] = [_of(NodePoint, one) for one in fields.get("nodes", ())]
            return cls(**fields)
        except (TypeError, KeyError, AttributeError, ValueError) as error:
            raise ValueError(f"not a point of a series: {error!r}") from None


_POINT = tuple(Point.__dataclass_fields__)
_values_of = attrgetter(*_POINT)
_ALWAYS = frozenset({"t_s", "span_s", "active_s", "at", "state", "users"})


def _known(fields: Mapping[str, object], found: JsonObject) -> JsonObject:
    if found.keys() <= fields.keys():
        return found  # nearly always the case, and by far the cheapest
    return {name: value for name, value in renamed(found).items() if name in fields}


def _of(kind: type[R], found: JsonObject) -> R:
    return kind(**_known(kind.__dataclass_fields__, found))


def _throttle(found: JsonObject, active_s: float) -> ThrottlePoint:
    throttle = ThrottlePoint(**_known(ThrottlePoint.__annotations__, found))
    if "wanted" in found or throttle.wanted_per_s is None:
        return throttle
    # Earlier versions wrote only the rate at the end of the second.
    return throttle._replace(wanted=throttle.wanted_per_s * active_s)


@dataclass(eq=False)
class Tally:
    """A sum of points.

    Attributes:
        span_s: Their total length.
        active_s: How much of that the run was running.
        points: Their number.
        starts: Users that started.
        counters: As in `Point`, like `crashes`.
        throttles: The counts of each throttle.
        failed_at: When each counter of failures with a cause grew first and last, see `Point`.
        lowest: The lowest value of each gauge at the end of a point in which the run was running.
        highest: The highest value.
        first: The first point; None if there is none.
        last: The latest point, for values that are not summed.
        last_active: The latest point in which the run was running.
        idle: The sum of the points in which it was only paused or ending; None if there are none.
        timers: The recorded durations, by timer.
    """

    span_s: float = 0.0
    active_s: float = 0.0
    points: int = 0
    starts: int = 0
    counters: dict[str, int] = field(default_factory=dict)
    crashes: dict[str, int] = field(default_factory=dict)
    throttles: dict[str, ThrottleCounts] = field(default_factory=dict)
    failed_at: dict[str, tuple[float, float]] = field(default_factory=dict)
    lowest: dict[str, float] = field(default_factory=dict)
    highest: dict[str, float] = field(default_factory=dict)
    first: Point | None = None
    last: Point | None = None
    last_active: Point | None = None
    idle: Tally | None = None
    timers: TimerSums = field(default_factory=TimerSums)

    def __eq__(self, other: object) -> bool:
        return vars(self) == vars(other) if isinstance(other, Tally) else NotImplemented

    __hash__ = None  # type: ignore[assignment]  # a sum changes

    @classmethod
    def of(cls, points: Iterable[Point]) -> Tally:
        """Sum `points`, which must be in order."""
        tally = cls()
        for point in points:
            tally.add(point)
        return tally

    def add(
        self, point: Point, timers: bool = True, yield_if_due: Callable[[], None] = lambda: None
    ) -> None:
        """Add the next point.

        Args:
            point: The point.
            timers: Whether to add its timers; otherwise they come with `add_timers_of`.
            yield_if_due: Called between parts of that.
        """
        self._count(point)
        if timers:
            self.timers.add(point.timers, yield_if_due)
        if point.active_s > 0:
            self.last_active = point
            levels = {name: value for name, value in point.gauges.items() if isfinite(value)}
            self._stretch(levels, levels)
        else:
            self.idle = self.idle or Tally()
            self.idle._count(point)
            self.idle.timers.add(point.timers, yield_if_due)

    def merge(self, later: Tally) -> None:
        """Add a sum of points that follow those in this one."""
        self.points += later.points
        self._add(later)
        self.add_timers_of(later)
        self._stretch(later.lowest, later.highest)
        for name, counts in later.throttles.items():
            self.throttles[name] = self.at_throttle(name).plus(counts)
        for name, (first_s, last_s) in later.failed_at.items():
            self.failed_at[name] = self.failed_at.get(name, (first_s,))[0], last_s
        self.first = self.first or later.first
        self.last = later.last or self.last
        self.last_active = later.last_active or self.last_active
        if later.idle is not None:
            self.idle = self.idle or Tally()
            self.idle.merge(later.idle)

    def per_second(self, count: Callable[[Tally], float]) -> float | None:
        """Return a mean rate per second while the run was running.

        Every mean rate that amoc shows is computed here. Pauses and the time after users were
        asked to finish are left out: both the counts and the duration.

        Args:
            count: Returns the count in a sum of points.

        Returns:
            The rate; None if the run was not running at all.
        """
        if self.active_s <= 0:
            return None
        idle = count(self.idle) if self.idle is not None else 0
        return (count(self) - idle) / self.active_s

    def counter_per_s(self, name: str) -> float | None:
        """Return a counter's mean rate per second."""
        return self.per_second(lambda tally: tally.counters.get(name, 0))

    def at_throttle(self, name: str) -> ThrottleCounts:
        """Return the counts of a throttle."""
        return self.throttles.get(name, ThrottleCounts())

    def by_throttle(self) -> dict[str, ThrottlePoint]:
        """Return the last state of each throttle, with all of its counts.

        A throttle that the last point does not have was stopped.
        """
        last = self.last.throttles if self.last is not None else {}
        return {
            name: last.get(name, ThrottlePoint())._replace(**counts._asdict())
            for name, counts in sorted(self.throttles.items())
        }

    def add_timers_of(self, other: Tally) -> None:
        """Add the durations recorded in the points of `other`."""
        self.timers.add(other.timers.packed())

    def _count(self, point: Point) -> None:
        self.points += 1
        self._add(point)
        for name, throttle in point.throttles.items():
            before = self.throttles.get(name)
            counts = throttle.counts
            self.throttles[name] = counts if before is None else before.plus(counts)
        for name, count in point.counters.items():
            if CAUSE in name and count:
                first_s, last_s = point.failed_at.get(name, (point.begin_s, point.t_s))
                self.failed_at[name] = self.failed_at.get(name, (first_s,))[0], last_s
        self.first = self.first or point
        self.last = point

    def _add(self, more: Point | Tally) -> None:
        self.span_s += more.span_s
        self.active_s += more.active_s
        self.starts += more.starts
        add_counts(self.counters, more.counters)
        add_counts(self.crashes, more.crashes)

    def _stretch(self, lowest: Mapping[str, float], highest: Mapping[str, float]) -> None:
        for name, value in lowest.items():
            self.lowest[name] = min(value, self.lowest.get(name, value))
        for name, value in highest.items():
            self.highest[name] = max(value, self.highest.get(name, value))


def add_counts(sums: dict[K, int], more: Mapping[K, int]) -> None:
    """Add counts to sums, name by name."""
    for name, count in more.items():
        sums[name] = sums.get(name, 0) + count
