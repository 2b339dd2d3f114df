"""What a summary says of a run's points, taken from them in one go. Pure.

A long run's points do not fit into memory, and of many timers adding them up takes longest. So each
point is looked at once, and its histograms are added once: to one of three parts that do not
overlap. All else that is asked for are sums of these. Histograms are added some points at a time,
timer by timer: hundreds of timers together are larger than a processor's cache, one is not.
"""

from __future__ import annotations

from array import array
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from typing import Any

from amoc.metrics.board import Kind
from amoc.metrics.health_figures import WorkerPoint
from amoc.metrics.histogram import Histogram
from amoc.results.generator_health import Health
from amoc.results.series import USERS, Point, Tally, WarmUp, Window, add_counts

MIN_SPAN_S = 0.5
"""What is shorter, as the last point of a run, says little about a second."""


AT_ONCE = 30
"""Points whose histograms are added in one go."""


class Adding:
    """A sum of points that is cheap to add to."""

    def __init__(self) -> None:
        """A sum of none."""
        self._tally = Tally()
        self._waiting: list[Mapping[str, Histogram]] = []

    def add(self, point: Point) -> None:
        """Add the next point."""
        self._tally.add(replace(point, timers={}))
        self._waiting.append(point.timers)
        if len(self._waiting) == AT_ONCE:
            self._add_waiting()

    def _add_waiting(self) -> None:
        for name in dict.fromkeys(name for timers in self._waiting for name in timers):
            whole = self._tally.timers.setdefault(name, Histogram())
            for timers in self._waiting:
                if (one := timers.get(name)) is not None:
                    whole.add(one.cells, one.max_ns)
        self._waiting.clear()

    @property
    def tally(self) -> Tally:
        """The sum; its first and last point have no durations."""
        self._add_waiting()
        return self._tally


def together(parts: Iterable[Tally]) -> Tally:
    """The sum of tallies whose points do not overlap; they stay as they are."""
    there = sorted((one for one in parts if one.points), key=_begin_s)
    if len(there) == 1:
        return there[0]
    whole = Tally()
    for one in there:
        whole.span_s += one.span_s
        whole.active_s += one.active_s
        whole.points += one.points
        whole.starts += one.starts
        add_counts(whole.counters, one.counters)
        add_counts(whole.crashes, one.crashes)
        for name, timer in one.timers.items():
            whole.timers.setdefault(name, Histogram()).add(timer.cells, timer.max_ns)
        for name, counts in one.throttles.items():
            add_counts(whole.throttles.setdefault(name, {}), counts)
        for name, value in one.lowest.items():
            whole.lowest[name] = min(value, whole.lowest.get(name, value))
        for name, value in one.highest.items():
            whole.highest[name] = max(value, whole.highest.get(name, value))
    whole.first = there[0].first if there else None
    ends = [one.last for one in there if one.last is not None]
    whole.last = max(ends, key=lambda point: point.t_s, default=None)
    return whole


def _begin_s(tally: Tally) -> float:
    return tally.first.t_s if tally.first is not None else 0.0


@dataclass
class _Starts:
    """How fast users started at the most."""

    peak: float = 0.0
    _before: int = 0
    _span_s: float = 0.0

    def add(self, point: Point) -> None:
        started = point.users.get("started", self._before)
        self._span_s += point.span_s
        if self._span_s >= MIN_SPAN_S:
            self.peak = max(self.peak, (started - self._before) / self._span_s)
            self._before, self._span_s = started, 0.0


@dataclass
class _Worker:
    """How a worker did, over all its incarnations."""

    incarnation: int = 1
    users_peak: int = 0
    cpu_s: float = 0.0
    rss_bytes: int = 0
    lags_s: array[float] = field(default_factory=lambda: array("d"))

    def add(self, one: WorkerPoint, span_s: float) -> None:
        self.incarnation = one.incarnation
        self.users_peak = max(self.users_peak, one.users)
        self.cpu_s += one.cpu * span_s
        self.rss_bytes = max(self.rss_bytes, one.rss_bytes)
        self.lags_s.append(one.lag_p99_s)

    def to_json(self) -> dict[str, Any]:
        lags_s = sorted(self.lags_s)
        return {
            "restarts": max(0, self.incarnation - 1),
            "users_peak": self.users_peak,
            "cpu_s": round(self.cpu_s, 3),
            "max_rss_bytes": self.rss_bytes,
            "loop_lag_p99_s": lags_s[-(len(lags_s) // 100) - 1],
        }


@dataclass
class RunTotals:
    """All of a run's points together.

    Attributes:
        warmup: What is left out of `window`.
        health: How the generator did after that.
        known: The metrics that were there.
    """

    warmup: WarmUp = field(default_factory=lambda: WarmUp(0.0))
    health: Health = field(default_factory=Health)
    known: dict[str, Kind] = field(default_factory=dict)
    _warm: Adding = field(default_factory=Adding)
    _running: Adding = field(default_factory=Adding)
    _resting: Adding = field(default_factory=Adding)
    _starts: _Starts = field(default_factory=_Starts)
    _workers: dict[tuple[str, int], _Worker] = field(default_factory=dict)
    _last: Point | None = None

    @classmethod
    def of(cls, points: Iterable[Point], warmup_s: float = 0.0) -> RunTotals:
        """The totals of points that are in order."""
        totals = cls(WarmUp(warmup_s))
        for point in points:
            totals.add(point)
        return totals

    def add(self, point: Point) -> None:
        """Add the next point."""
        if not self.warmup.over(point):
            self._warm.add(point)
        else:
            (self._running if point.active_s > 0 else self._resting).add(point)
            self.health.take(point)
        self.known |= dict.fromkeys(point.counters, Kind.COUNTER)
        self.known |= dict.fromkeys(point.gauges, Kind.GAUGE)
        self.known |= dict.fromkeys(point.timers, Kind.TIMER)
        self._starts.add(point)
        self._last = point
        for one in point.workers:
            worker = self._workers.setdefault((one.node, one.worker), _Worker())
            worker.add(one, point.span_s)

    @property
    def whole(self) -> Tally:
        """The sum of all points."""
        return together(one.tally for one in (self._warm, self._running, self._resting))

    @property
    def window(self) -> Window:
        """What the verdict is about; nothing can be added to it."""
        running, resting = self._running.tally, self._resting.tally
        return Window(self.warmup, together((running, resting)), running)

    def users(self, crashed: int) -> dict[str, Any]:
        """Users for the summary."""
        last = self._last
        told = last.users if last is not None else {}
        users = {name: told.get(name, 0) for name in USERS if name != "waiting"}
        mean = users["started"] / last.t_s if last is not None and last.t_s else 0.0
        peak = max(self._starts.peak, mean)
        return {**users, "crashed": crashed, "starts_per_s_peak": round(peak, 1)}

    def workers(self) -> list[dict[str, Any]]:
        """Workers for the summary."""
        return [
            {"node": node, "worker": number, **worker.to_json()}
            for (node, number), worker in sorted(self._workers.items())
        ]
