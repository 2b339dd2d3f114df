"""OpenTelemetry: sends spans of a worker's steps in batches to a collector.

`take` only stores a span. Batches are encoded and sent in the background, span by span, with turns
of the event loop in between. The backlog is bounded: further spans are dropped and counted.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable, Mapping

import gevent
from gevent.event import Event
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import (
    ExportTraceServiceRequest,
    ExportTraceServiceResponse,
)
from opentelemetry.proto.common.v1.common_pb2 import AnyValue, KeyValue
from opentelemetry.proto.trace.v1 import trace_pb2 as otlp

from amoc import metrics
from amoc._version import VERSION
from amoc.base.clock import S_NS, now_ns
from amoc.metrics.reserved import SPANS
from amoc.results.exporters.background import in_turns
from amoc.results.exporters.base import Warn
from amoc.results.exporters.otlp_environment import Target
from amoc.results.exporters.otlp_metrics import attributes, sendable
from amoc.results.exporters.otlp_sender import Sender
from amoc.steps.tracing import Span

SAMPLED = 1
"""As in the traceparent header."""
MAX_WAITING = 2_048
"""Spans waiting to be batched, as in OpenTelemetry's own processors."""
BATCH = 512
DELAY_S = 5.0
MAX_BYTES = 2 << 20
"""Maximum backlog."""


class OtlpSpans:
    """Sends spans."""

    def __init__(self, target: Target, resource: Mapping[str, str], warn: Warn) -> None:
        """Start; the receiver need not be reachable yet.

        Args:
            target: Where to send spans.
            resource: What they describe.
            warn: Called with warnings for the operator.
        """
        self._resource = resource
        self._waiting: deque[Span] = deque()
        self._taken, self._dropped = (metrics.built_in(metrics.Counter, one) for one in SPANS)
        self._sender = Sender(target, _rejected, MAX_BYTES, warn)
        self._news, self._ends = Event(), False
        self._greenlet = gevent.spawn(self._run)

    def take(self, span: Span) -> None:
        """Queue a span; never blocks."""
        if len(self._waiting) >= MAX_WAITING:
            self._dropped.inc()
            return
        self._taken.inc()
        self._waiting.append(span)
        if len(self._waiting) == BATCH:
            self._news.set()

    def close(self, deadline_s: float) -> None:
        """Send what is left, for at most `deadline_s`."""
        give_up = now_ns() + int(deadline_s * S_NS)
        self._ends = True
        self._news.set()
        self._greenlet.join(deadline_s)
        self._greenlet.kill()
        self._sender.close(max(0.0, (give_up - now_ns()) / S_NS))

    def _run(self) -> None:
        while not (self._ends and not self._waiting):
            self._news.wait(DELAY_S)
            self._news.clear()
            while self._waiting:
                batch = [self._waiting.popleft() for _ in range(min(BATCH, len(self._waiting)))]
                self._sender.put(request(self._resource, in_turns(batch)))


def request(resource: Mapping[str, str], spans: Iterable[Span]) -> bytes:
    """Return the request for some spans."""
    made = ExportTraceServiceRequest()
    of_resource = made.resource_spans.add()
    of_resource.resource.attributes.extend(attributes(resource.items()))
    scope = of_resource.scope_spans.add()
    scope.scope.name, scope.scope.version = "amoc", VERSION
    for one in spans:
        span = scope.spans.add()
        span.trace_id = one.trace_id.to_bytes(16, "big")
        span.span_id = one.span_id.to_bytes(8, "big")
        if one.parent_id:
            span.parent_span_id = one.parent_id.to_bytes(8, "big")
        span.name, span.flags = sendable(one.name), SAMPLED
        is_request = bool(one.attributes)
        span.kind = otlp.Span.SPAN_KIND_CLIENT if is_request else otlp.Span.SPAN_KIND_INTERNAL
        span.start_time_unix_nano, span.end_time_unix_nano = one.begin_ns, one.end_ns
        span.attributes.extend(_described(one))
        if one.cause:
            span.status.code = otlp.Status.STATUS_CODE_ERROR
            text = f"{one.cause}: {one.message}" if one.message else one.cause
            span.status.message = sendable(text)
    return bytes(made.SerializeToString())


def _described(one: Span) -> Iterable[KeyValue]:
    if one.user:
        yield KeyValue(key="amoc.user", value=AnyValue(int_value=one.user))
    if one.cause:
        yield KeyValue(key="error.type", value=AnyValue(string_value=sendable(one.cause)))
    for key, value in one.attributes.items():
        if isinstance(value, int):
            yield KeyValue(key=key, value=AnyValue(int_value=value))
        else:
            yield KeyValue(key=key, value=AnyValue(string_value=sendable(value)))


def _rejected(answer: bytes) -> str:
    said = ExportTraceServiceResponse.FromString(answer).partial_success
    count = said.rejected_spans
    return f"it rejects {count} spans: {said.error_message[:200]}" if count else ""
