"""OpenTelemetry: points as metrics to a collector, by OTLP over HTTP (protobuf).

A request that is not accepted because the receiver is away or busy waits, with its own time, and is
sent again; one that is rejected is dropped, and said. OpenTelemetry's SDK is not used: it gathers
metrics itself, in a thread, and takes five times the memory and CPU time of what encodes them.
"""

from __future__ import annotations

import gzip
from collections.abc import Mapping
from urllib.parse import urlsplit

from google.protobuf.message import DecodeError
from opentelemetry.proto.collector.metrics.v1.metrics_service_pb2 import (
    ExportMetricsServiceResponse,
)

from amoc._version import VERSION
from amoc.base.breather import Breather
from amoc.base.clock import S_NS, now_ns
from amoc.results.counts import joined
from amoc.results.exporters.background import BackgroundQueue, RefusedError
from amoc.results.exporters.backlog import ChunkBacklog, PointBacklog
from amoc.results.exporters.base import Exporter, Warn
from amoc.results.exporters.otlp_environment import MetricOptions, Target
from amoc.results.exporters.otlp_metrics import Metrics
from amoc.results.exporters.poster import Poster
from amoc.results.series import Point, Tally

MAX_BYTES = 8 << 20
"""What waits for the receiver."""
BUSY = frozenset({429, 502, 503, 504})
"""Statuses after which the same request is sent again, as the protocol wants it."""


class OtlpMetrics(Exporter):
    """Sends each point, or several of them together, as metrics.

    Attributes:
        requests: What waits for the receiver.
    """

    def __init__(
        self, target: Target, resource: Mapping[str, str], options: MetricOptions, warn: Warn
    ) -> None:
        """Start; the receiver need not be reachable yet.

        Args:
            target: Where metrics go.
            resource: What they are about.
            options: How they are sent.
            warn: Called with warnings for the operator.
        """
        self._target = target
        self._options = options
        self._metrics = Metrics(resource, options)
        self._kept: list[Point] = []
        url = urlsplit(target.url)
        self._path = f"{url.path or '/'}{'?' if url.query else ''}{url.query}"
        self._poster = Poster(url, target.certificate)
        self._headers = {
            "User-Agent": f"amoc/{VERSION}",
            "Content-Type": "application/x-protobuf",
            **({"Content-Encoding": "gzip"} if target.is_compressed else {}),
            **target.headers,
        }
        what = f"OpenTelemetry at {url.scheme}://{url.netloc.rpartition('@')[2]}"
        self.requests = ChunkBacklog(MAX_BYTES)
        self._sending = BackgroundQueue(what, self.requests, self._post, warn, "request")
        self._making = BackgroundQueue(what, PointBacklog(), self._make, warn)

    def take(self, point: Point, _tally: Tally, /) -> None:
        """Have the point sent."""
        self._kept.append(point)
        span_s = sum(one.span_s for one in self._kept)
        # Points are cut a little early or late.
        if span_s >= self._options.interval_s - point.span_s / 2:
            self._hand_on()

    def close(self, deadline_s: float) -> None:
        """Send what is left, for at most `deadline_s`."""
        give_up = now_ns() + int(deadline_s * S_NS)
        if self._kept:
            self._hand_on()
        self._making.stop(deadline_s)
        self.requests.drop(sum(self._making.backlog.missing()))
        self._sending.close(max(0.0, (give_up - now_ns()) / S_NS))
        self._poster.close()

    def _hand_on(self) -> None:
        self._making.put(self._kept[0] if len(self._kept) == 1 else joined(self._kept))
        self._kept.clear()

    def _make(self, point: Point) -> None:
        body = self._metrics.request(point, Breather())
        self._sending.put(gzip.compress(body, 1) if self._target.is_compressed else body)

    def _post(self, body: bytes) -> None:
        """Send a request.

        Raises:
            OSError: The receiver is away, or busy.
            RefusedError: It rejects the request, or a part of it.
        """
        answer = self._poster.post(self._path, body, self._headers, self._target.timeout_s)
        if answer.status in BUSY:
            raise ConnectionError(f"it answers {answer.status} {answer.reason}")
        if answer.status >= 300:
            raise RefusedError(f"it answers {answer.status} {answer.reason}")
        if answer.headers.get_content_type() == "application/x-protobuf":
            try:
                said = ExportMetricsServiceResponse.FromString(answer.body).partial_success
            except DecodeError:
                return
            if rejected := said.rejected_data_points:
                raise RefusedError(f"it rejects {rejected} values: {said.error_message[:200]}")
