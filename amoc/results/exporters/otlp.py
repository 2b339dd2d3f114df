"""OpenTelemetry: sends points as metrics to a collector, by OTLP over HTTP (protobuf).

OpenTelemetry's SDK is not used: it collects metrics itself, in a thread, and takes five times the
memory and CPU time of the encoding alone.
"""

from __future__ import annotations

from collections.abc import Mapping

from opentelemetry.proto.collector.metrics.v1.metrics_service_pb2 import (
    ExportMetricsServiceResponse,
)

from amoc.base.clock import S_NS, now_ns
from amoc.base.periodic_yield import PeriodicYield
from amoc.results.counts import joined
from amoc.results.exporters.background import BackgroundQueue
from amoc.results.exporters.backlog import PointBacklog
from amoc.results.exporters.base import Exporter, Warn
from amoc.results.exporters.otlp_environment import MetricOptions, Target
from amoc.results.exporters.otlp_metrics import Metrics
from amoc.results.exporters.otlp_sender import Sender
from amoc.results.series import Point, Tally

MAX_BYTES = 8 << 20
"""Maximum backlog."""


class OtlpMetrics(Exporter):
    """Sends each point, or several of them combined, as metrics."""

    def __init__(
        self, target: Target, resource: Mapping[str, str], options: MetricOptions, warn: Warn
    ) -> None:
        """Start; the receiver need not be reachable yet.

        Args:
            target: Where to send metrics.
            resource: What they describe.
            options: How to send them.
            warn: Called with warnings for the operator.
        """
        self._options = options
        self._metrics = Metrics(resource, options)
        self._kept: list[Point] = []
        self._sender = Sender(target, _rejected, MAX_BYTES, warn)
        self._making = BackgroundQueue(self._sender.what, PointBacklog(), self._make, warn)

    def take(self, point: Point, _tally: Tally, /) -> None:
        """Queue the point."""
        self._kept.append(point)
        span_s = sum(one.span_s for one in self._kept)
        # Points end a little early or late.
        if span_s >= self._options.interval_s - point.span_s / 2:
            self._hand_on()

    def close(self, deadline_s: float) -> None:
        """Send what is left, for at most `deadline_s`."""
        give_up = now_ns() + int(deadline_s * S_NS)
        if self._kept:
            self._hand_on()
        self._making.stop(deadline_s)
        self._sender.waiting.drop(sum(self._making.backlog.missing()))
        self._sender.close(max(0.0, (give_up - now_ns()) / S_NS))

    def _hand_on(self) -> None:
        self._making.put(self._kept[0] if len(self._kept) == 1 else joined(self._kept))
        self._kept.clear()

    def _make(self, point: Point) -> None:
        self._sender.put(self._metrics.request(point, PeriodicYield()))


def _rejected(answer: bytes) -> str:
    said = ExportMetricsServiceResponse.FromString(answer).partial_success
    count = said.rejected_data_points
    return f"it rejects {count} values: {said.error_message[:200]}" if count else ""
