"""A run's points as OTLP metrics. Pure.

Counts are totals since the run began, or since the last request (delta). A timer is a histogram
whose buckets are sums of its cells: every duration is counted once, in the bucket that contains the
middle of its cell, which is at most 0.4 % off.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from math import ceil, isfinite, log2
from typing import Any

from opentelemetry.proto.collector.metrics.v1.metrics_service_pb2 import ExportMetricsServiceRequest
from opentelemetry.proto.common.v1.common_pb2 import AnyValue, KeyValue
from opentelemetry.proto.metrics.v1 import metrics_pb2 as otlp

from amoc._version import VERSION
from amoc.base.clock import S_NS
from amoc.metrics.health_figures import NODE, WORKER
from amoc.metrics.histogram import Histogram
from amoc.metrics.throttle_counts import COUNTS
from amoc.metrics.workers_together import labelled
from amoc.results.exporters.buckets import BOUNDS_S, BUCKET, MIDDLE_S
from amoc.results.exporters.names import CHANGES, STATES, Causes
from amoc.results.exporters.otlp_environment import MetricOptions
from amoc.results.exporters.otlp_names import Named, Names
from amoc.results.series import Point, add_counts

SCALE = 5
"""Of exponential buckets: 32 for each power of two, so each is 2.2 % wide."""
_EXPONENTIAL = (0, *(ceil(log2(one) * (1 << SCALE)) - 1 for one in MIDDLE_S[1:]))
"""The bucket of each cell; that of the first cell, which holds 0, is not used."""


class _Timer:
    """The recorded durations of a timer, by bucket."""

    def __init__(self) -> None:
        self.count = self.zeros = self.max_ns = 0
        self.sum_s = 0.0
        self.buckets: dict[int, int] = {}

    def add(self, timer: Histogram, bucket_of: tuple[int, ...]) -> None:
        """Add the durations recorded in a point."""
        buckets = self.buckets
        for cell, hits in timer.cells.items():
            self.count += hits
            self.sum_s += hits * MIDDLE_S[cell]
            if cell == 0:
                self.zeros += hits
            bucket = bucket_of[cell]
            buckets[bucket] = buckets.get(bucket, 0) + hits
        self.max_ns = max(self.max_ns, timer.max_ns)


class Metrics:
    """Makes requests from points, one after the other."""

    def __init__(self, resource: Mapping[str, str], options: MetricOptions) -> None:
        """Start without any counts.

        Args:
            resource: What the data describes.
            options: How to send it.
        """
        self._resource = resource
        self._options = options
        self._bucket_of = _EXPONENTIAL if options.is_exponential else BUCKET
        self._names = Names()
        self._causes = Causes()
        self._counts: dict[Named, int] = {}
        self._counters: dict[str, int] = {}
        self._timers: dict[str, _Timer] = {}
        self._users: dict[str, int] = {}
        self._begin_ns = 0

    def request(self, point: Point, yield_if_due: Callable[[], None] = lambda: None) -> bytes:
        """Return the request for the next point.

        Args:
            point: The point.
            yield_if_due: Called between parts of the work.
        """
        if not self._begin_ns:
            self._begin_ns = int((point.at - point.t_s) * S_NS)
        if self._options.is_delta:
            self._counts.clear()
            self._counters.clear()
            self._timers.clear()
            self._begin_ns = int((point.at - point.span_s) * S_NS)
        self._count(point)
        made = _Request(self._resource, self._begin_ns, int(point.at * S_NS), self._options)
        for named, total in self._totals():
            made.total(named, total)
            yield_if_due()
        for name, timer in self._timers.items():
            made.histogram(self._names.timer(name), timer)
            yield_if_due()
        for named, value in _levels(point):
            made.gauge(named, value)
            yield_if_due()
        return made.encoded()

    def _count(self, point: Point) -> None:
        self._names.learn(point.counters.keys() | point.timers.keys())
        add_counts(self._counters, point.counters)
        for named, count in self._growth(point):
            self._counts[named] = self._counts.get(named, 0) + count
        for name in point.timers:
            timer = self._timers.get(name)
            if timer is None:
                timer = self._timers[name] = _Timer()
            timer.add(point.timers[name], self._bucket_of)

    def _totals(self) -> Iterable[tuple[Named, int]]:
        # Whether a counter belongs to a step may be known only after the step's first time.
        for name, total in self._counters.items():
            if (named := self._names.counter(name)) is not None:
                yield named, total
        yield from self._counts.items()

    def _growth(self, point: Point) -> Iterable[tuple[Named, int]]:
        """Yield counts other than counters."""
        for cause, count in self._causes.grouped(point.crashes).items():
            yield Named("amoc.crashes", "{iteration}", (("cause", cause),)), count
        for change in CHANGES:
            now, before = point.users.get(change, 0), self._users.get(change, 0)
            self._users[change] = max(now, before)
            yield Named(f"amoc.users.{change}", "{user}"), max(0, now - before)
        for name, throttle in point.throttles.items():
            for kind in COUNTS:
                which = (("throttle", name),)
                yield Named(f"amoc.throttle.{kind}", "{pass}", which), getattr(throttle, kind)


def _levels(point: Point) -> Iterable[tuple[Named, float]]:
    """Yield values at the end of a point."""
    for state in STATES:
        yield Named("amoc.users", "{user}", (("state", state),)), point.users.get(state, 0)
    yield Named("amoc.users.peak", "{user}"), point.users.get("peak", 0)
    for name, value in point.gauges.items():
        if isfinite(value):
            yield Named("amoc.gauge", "1", (("gauge", name),)), value
    for name, throttle in point.throttles.items():
        which = (("throttle", name),)
        if (wanted := throttle.wanted_per_s) is not None and isfinite(wanted):
            yield Named("amoc.throttle.wanted_rate", "{pass}/s", which), wanted
        yield Named("amoc.throttle.waiting", "{user}", which), throttle.waiting
    yield Named("amoc.controller.cpu", "1"), point.controller_cpu
    yield Named("amoc.controller.lag", "s"), point.controller_lag_s
    yield Named("amoc.controller.late_nodes", "{node}"), len(point.late)
    for (node_name, number), worker in labelled(point.workers, point.together).items():
        process = (("node", node_name), ("worker", number))
        yield Named("amoc.worker.restarts", "1", process), max(0, worker.incarnation - 1)
        for field in WORKER:
            name = f"amoc.worker.{_plain(field)}"
            yield Named(name, _unit(field), process), getattr(worker, field)
    for node in point.nodes:
        host = (("node", node.name),)
        for field in NODE:
            yield Named(f"amoc.node.{_plain(field)}", _unit(field), host), getattr(node, field)


def _plain(field: str) -> str:
    return field.removesuffix("_s").removesuffix("_bytes")


def _unit(field: str) -> str:
    return "s" if field.endswith("_s") else "By" if field.endswith("_bytes") else "1"


class _Request:
    """A request under construction."""

    def __init__(
        self, resource: Mapping[str, str], begin_ns: int, at_ns: int, options: MetricOptions
    ) -> None:
        self._begin_ns = begin_ns
        self._at_ns = at_ns
        self._is_exponential = options.is_exponential
        self._temporality = (
            otlp.AGGREGATION_TEMPORALITY_DELTA
            if options.is_delta
            else otlp.AGGREGATION_TEMPORALITY_CUMULATIVE
        )
        self._request = ExportMetricsServiceRequest()
        self._metrics: dict[str, Any] = {}  # Any: protobuf has no types
        of_resource = self._request.resource_metrics.add()
        of_resource.resource.attributes.extend(attributes(resource.items()))
        self._scope = of_resource.scope_metrics.add()
        self._scope.scope.name = "amoc"
        self._scope.scope.version = VERSION

    def encoded(self) -> bytes:
        """Return the request as bytes."""
        return bytes(self._request.SerializeToString())

    def total(self, named: Named, total: int) -> None:
        """Add a count."""
        point = self._point(named, "sum")
        point.start_time_unix_nano = self._begin_ns
        point.as_int = total

    def gauge(self, named: Named, value: float) -> None:
        """Add a level."""
        self._point(named, "gauge").as_double = value

    def histogram(self, named: Named, timer: _Timer) -> None:
        """Add the durations of a timer."""
        kind = "exponential_histogram" if self._is_exponential else "histogram"
        point = self._point(named, kind)
        point.start_time_unix_nano = self._begin_ns
        point.count, point.sum, point.max = timer.count, timer.sum_s, timer.max_ns / S_NS
        if not self._is_exponential:
            point.explicit_bounds.extend(BOUNDS_S)
            point.bucket_counts.extend(map(timer.buckets.get, range(len(BOUNDS_S) + 1), _ZEROS))
            return
        point.scale, point.zero_count = SCALE, timer.zeros
        buckets = dict(timer.buckets)
        if timer.zeros:  # they were counted in bucket 0, which begins at a second
            buckets[0] -= timer.zeros
        hit = [index for index, hits in buckets.items() if hits]
        if hit:
            first, last = min(hit), max(hit)
            point.positive.offset = first
            counts = (buckets.get(index, 0) for index in range(first, last + 1))
            point.positive.bucket_counts.extend(counts)

    def _point(self, named: Named, kind: str) -> Any:  # Any: protobuf has no types
        """Add a data point to a metric and return it."""
        metric = self._metrics.get(named.name)
        if metric is None:
            metric = self._metrics[named.name] = self._scope.metrics.add()
            metric.name, metric.unit = named.name, named.unit
            if kind != "gauge":
                getattr(metric, kind).aggregation_temporality = self._temporality
            if kind == "sum":
                metric.sum.is_monotonic = True
        point = getattr(metric, kind).data_points.add()
        point.time_unix_nano = self._at_ns
        point.attributes.extend(attributes(named.attributes))
        return point


_ZEROS = (0,) * (len(BOUNDS_S) + 1)


def attributes(pairs: Iterable[tuple[str, str]]) -> list[KeyValue]:
    """Return attributes, with values converted to valid text."""
    return [
        KeyValue(key=sendable(key), value=AnyValue(string_value=sendable(value)))
        for key, value in pairs
    ]


def sendable(text: str) -> str:
    """Return `text` without lone surrogates, which UTF-8 cannot encode."""
    return text if text.isascii() else text.encode("utf-8", "replace").decode()
