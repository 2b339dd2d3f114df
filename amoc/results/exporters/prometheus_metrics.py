"""A run as families of Prometheus samples, created for each scrape. Pure.

Counts are totals since the run began, so that no scrape misses anything. A timer is a histogram
with fixed buckets. Histograms of several runs can be added but are coarse, so the exact percentiles
of the last second are included as well.

Each metric of the scenario is a family: counter ``rounds`` is ``amoc_rounds_total``, timer ``turn``
is ``amoc_turn_seconds``. If a name, or that of one of its samples, is already taken, it ends in a
hash of the metric's name, as in `amoc.results.exporters.names`.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from itertools import accumulate
from math import inf, isfinite
from typing import TypeVar

from prometheus_client.core import (
    CounterMetricFamily,
    GaugeMetricFamily,
    HistogramMetricFamily,
    InfoMetricFamily,
    Metric,
)

from amoc._version import VERSION
from amoc.metrics.health_figures import NODE, WORKER, Figure, NodePoint, WorkerPoint
from amoc.metrics.histogram import Histogram
from amoc.metrics.throttle_counts import COUNTS, HELP, WAITING
from amoc.metrics.timer_statistics import FRACTIONS
from amoc.metrics.workers_together import labelled
from amoc.results.exporters.base import RunInfo
from amoc.results.exporters.buckets import BOUNDS_S, BUCKET, MIDDLE_S
from amoc.results.exporters.names import STATES, Causes, candidates
from amoc.results.series import Point, Tally

Labels = TypeVar("Labels", bound=tuple[str, ...])

QUANTILES = {f"{fraction:g}": fraction for fraction in (*FRACTIONS, 1.0)}
PREFIX = "amoc_"

_UNSAFE = re.compile(r"[^A-Za-z0-9_]+")
_TOTAL = re.compile(r"(_total)+$")
_SAMPLES = ("", "_total", "_info", "_bucket", "_count", "_sum", "_created", "_quantile")
"""Suffixes of the names of a family and its samples, which no other family may use."""
_BUILT_IN = (
    *("amoc_run", "amoc_run_seconds", "amoc_users", "amoc_users_peak"),
    *("amoc_user_starts", "amoc_user_restarts", "amoc_crashes"),
    *("amoc_throttle_wanted_rate", "amoc_throttle_waiting"),
    *(f"amoc_throttle_{kind}" for kind in COUNTS),
    *("amoc_controller_cpu", "amoc_controller_lag_seconds", "amoc_late_nodes"),
    "amoc_worker_restarts",
)


def family(name: str) -> str:
    """Return a family name without kind for metric `name`; two names may give the same one."""
    return PREFIX + (_UNSAFE.sub("_", name).strip("_") or "_")


def seconds(field: str) -> str:
    """Return the name of a field, with its unit in Prometheus' spelling."""
    return f"{field.removesuffix('_s')}_seconds" if field.endswith("_s") else field


def cumulative(timer: Histogram) -> list[tuple[float, int]]:
    """Return how many durations are at most each bound in seconds, including infinity."""
    counts = [0] * (len(BOUNDS_S) + 1)
    for cell, hits in timer.cells.items():
        counts[BUCKET[cell]] += hits
    return list(zip([*BOUNDS_S, inf], accumulate(counts), strict=True))


class _Names:
    """Gives each metric of the scenario a unique family name."""

    def __init__(self) -> None:
        self._taken: set[str] = set()
        self._known: dict[tuple[str, str], str] = {}
        for name in _BUILT_IN:
            self._take(name)
        for part, fields in (("worker", WORKER), ("node", NODE)):
            for field in fields:
                self._take(f"{PREFIX}{part}_{seconds(field)}")

    def __call__(self, kind: str, name: str, unit: str = "") -> str:
        known = self._known.get((kind, name))
        if known is None:
            # A counter's samples end in a single _total, even if its name does as well.
            clean = family(name).removesuffix(unit)
            clean = _TOTAL.sub("", clean) if kind == "counter" else clean
            known = next(
                one + unit for one in candidates(name, clean) if not self._clashes(one + unit)
            )
            self._take(known)
            self._known[kind, name] = known
        return known

    def _clashes(self, name: str) -> bool:
        return any(name + end in self._taken for end in _SAMPLES)

    def _take(self, name: str) -> None:
        self._taken.update(name + end for end in _SAMPLES)


class Families:
    """Provides the run's data so far to prometheus_client.

    A family is created without interruption; between two of them `pause` may let the run go on, so
    two families of one scrape may be a point apart.
    """

    def __init__(self, run: RunInfo, pause: Callable[[], None] = lambda: None) -> None:
        """Start with only the run's name.

        Args:
            run: The run's identity.
            pause: Called after each family.
        """
        self._run = run
        self._pause = pause
        self._point: Point | None = None
        self._tally = Tally()
        self._starts: dict[str, int] = {}
        self._names = _Names()
        self._causes = Causes()

    def take(self, point: Point, tally: Tally) -> None:
        """Take the latest point, and the sum of all points."""
        self._point = point
        self._tally = tally
        for change in ("started", "restarted"):
            # A user that is removed and added again is missing for a moment.
            now = point.users.get(change, 0)
            self._starts[change] = max(now, self._starts.get(change, 0))

    def collect(self) -> Iterator[Metric]:
        """Yield all families."""
        info = InfoMetricFamily("amoc_run", "The run")
        info.add_metric([], {**self._run._asdict(), "version": VERSION})
        yield info
        point = self._point
        if point is None:
            return
        makers = (
            self._of_run,
            self._of_counters,
            self._of_gauges,
            self._of_timers,
            self._of_throttles,
            self._of_processes,
        )
        for make in makers:
            for one in make(point):
                yield one
                self._pause()

    def _of_run(self, point: Point) -> Iterator[Metric]:
        users, starts = point.users, self._starts
        yield _gauge("amoc_run_seconds", "Time since the first user could start", point.t_s)
        states = {(state,): users.get(state, 0) for state in STATES}
        yield _labelled(GaugeMetricFamily, "amoc_users", "Users by state", ["state"], states)
        yield _gauge("amoc_users_peak", "The most users alive at once", users.get("peak", 0))
        yield CounterMetricFamily(
            "amoc_user_starts", "Users that have started; not repetitions", starts["started"]
        )
        yield CounterMetricFamily(
            "amoc_user_restarts",
            "Users started again because their worker was lost",
            starts["restarted"],
        )
        causes = self._causes.grouped(self._tally.crashes)
        crashes = {(cause,): n for cause, n in causes.items()}
        yield _labelled(
            CounterMetricFamily, "amoc_crashes", "Iterations that raised", ["cause"], crashes
        )

    def _of_counters(self, _point: Point) -> Iterator[Metric]:
        for name, total in sorted(self._tally.counters.items()):
            called = self._names("counter", name)
            yield CounterMetricFamily(called, f"Counter {name}", total)

    def _of_gauges(self, point: Point) -> Iterator[Metric]:
        for name, value in sorted(point.gauges.items()):
            yield _gauge(self._names("gauge", name), f"Gauge {name}", value)

    def _of_timers(self, point: Point) -> Iterator[Metric]:
        for name in sorted(self._tally.timers):
            timer = self._tally.timers[name]
            called = self._names("timer", name, "_seconds")
            histogram = HistogramMetricFamily(called, f"Timer {name}")
            buckets = cumulative(timer)
            sum_s = sum(MIDDLE_S[cell] * hits for cell, hits in timer.cells.items())
            histogram.add_metric(
                [],
                [("+Inf" if end == inf else str(end), hits) for end, hits in buckets],
                sum_value=sum_s,
            )
            yield histogram
            last = point.timers.get(name)
            if last is not None and last.cells:
                found = last.quantiles_s(*QUANTILES.values())
                yield _labelled(
                    GaugeMetricFamily,
                    f"{called}_quantile",
                    f"Quantiles of timer {name} in the last second",
                    ["quantile"],
                    {(label,): value for label, value in zip(QUANTILES, found, strict=True)},
                )

    def _of_throttles(self, point: Point) -> Iterator[Metric]:
        of, last = ["throttle"], sorted(point.throttles.items())
        yield _labelled(
            GaugeMetricFamily,
            "amoc_throttle_wanted_rate",
            "Target rate of the throttle per second",
            of,
            {
                (name,): rate
                for name, one in last
                if (rate := one.wanted_per_s) is not None and isfinite(rate)
            },
        )
        waiting = {(name,): one.waiting for name, one in last}
        yield _labelled(GaugeMetricFamily, "amoc_throttle_waiting", HELP[WAITING], of, waiting)
        throttles = sorted(self._tally.throttles.items())
        for kind in COUNTS:
            counts = {(name,): getattr(one, kind) for name, one in throttles}
            yield _labelled(CounterMetricFamily, f"amoc_throttle_{kind}", HELP[kind], of, counts)

    def _of_processes(self, point: Point) -> Iterator[Metric]:
        yield _gauge(
            "amoc_controller_cpu",
            "CPU time of the controller, as a share of one core",
            point.controller_cpu,
        )
        yield _gauge(
            "amoc_controller_lag_seconds",
            "Event loop lag of the controller, at its worst",
            point.controller_lag_s,
        )
        yield _gauge(
            "amoc_late_nodes", "Nodes that sent nothing in the last second", len(point.late)
        )
        workers = labelled(point.workers, point.together)
        yield from _of_fields("worker", ["node", "worker"], workers, WORKER)
        yield _labelled(
            GaugeMetricFamily,
            "amoc_worker_restarts",
            "How often the worker was replaced",
            ["node", "worker"],
            {key: max(0, one.incarnation - 1) for key, one in workers.items()},
        )
        yield from _of_fields("node", ["node"], {(one.name,): one for one in point.nodes}, NODE)


def _of_fields(
    part: str,
    labels: Sequence[str],
    records: Mapping[Labels, WorkerPoint | NodePoint],
    fields: Mapping[str, Figure],
) -> Iterator[Metric]:
    for field, figure in fields.items():
        values = {key: getattr(one, field) for key, one in records.items()}
        name = f"{PREFIX}{part}_{seconds(field)}"
        yield _labelled(GaugeMetricFamily, name, figure.help, labels, values)


def _gauge(name: str, meaning: str, value: float) -> Metric:
    return GaugeMetricFamily(name, meaning, value)


def _labelled(
    kind: type[GaugeMetricFamily | CounterMetricFamily],
    name: str,
    meaning: str,
    labels: Sequence[str],
    values: Mapping[Labels, float],
) -> Metric:
    """Return a family with a sample for each value; the keys are label values."""
    made = kind(name, meaning, labels=labels)
    for key, value in values.items():
        made.add_metric(key, value)
    return made
