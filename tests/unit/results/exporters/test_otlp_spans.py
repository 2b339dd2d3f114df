"""Spans sent to a receiver, decoded by the protocol's own definitions."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field

import gevent
import pytest
from gevent import pywsgi
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest

from amoc import metrics
from amoc.metrics import registry
from amoc.results.exporters import background, otlp_spans
from amoc.results.exporters.otlp_environment import target
from amoc.results.exporters.otlp_spans import BATCH, MAX_WAITING, OtlpSpans, request
from amoc.steps.tracing import Span
from tests.unit.results.exporters.support import Carbon, eventually

PLAIN = Span(2**127, 5, 0, "visit", 10, 20, "", "", 0, {})
FAILED = Span(1, 2**63, 5, "GET /", 10, 20, "status 503", "busy", 7, {"http.request.method": "GET",
    "server.port": 80})  # fmt: skip


@pytest.fixture(autouse=True)
def _fresh_metrics(monkeypatch) -> Iterator[None]:
    monkeypatch.setattr(background, "FIRST_PAUSE_S", 0.002)
    monkeypatch.setattr(background, "MAX_PAUSE_S", 0.01)
    with registry.Registry().activated():
        yield


def test_spans_carry_name_status_and_attributes() -> None:
    made = ExportTraceServiceRequest.FromString(request({"service.name": "x"}, [PLAIN, FAILED]))
    (of_resource,) = made.resource_spans
    assert of_resource.resource.attributes[0].value.string_value == "x"
    plain, failed = of_resource.scope_spans[0].spans
    assert plain.trace_id == b"\x80" + bytes(15)
    assert plain.span_id == bytes(7) + b"\x05"
    assert plain.parent_span_id == b""
    assert plain.kind == plain.SPAN_KIND_INTERNAL
    assert plain.status.code == plain.status.STATUS_CODE_UNSET
    assert (plain.start_time_unix_nano, plain.end_time_unix_nano) == (10, 20)
    assert failed.parent_span_id == plain.span_id
    assert failed.kind == failed.SPAN_KIND_CLIENT
    assert failed.status.code == failed.status.STATUS_CODE_ERROR
    assert failed.status.message == "status 503: busy"
    said = {one.key: one.value.string_value or one.value.int_value for one in failed.attributes}
    assert said == {
        "amoc.user": 7,
        "error.type": "status 503",
        "http.request.method": "GET",
        "server.port": 80,
    }


@dataclass
class Receiver:
    """Counts the spans of each request."""

    batches: list[int] = field(default_factory=list)

    def __call__(self, environ, start):
        made = ExportTraceServiceRequest.FromString(environ["wsgi.input"].read())
        self.batches.append(len(made.resource_spans[0].scope_spans[0].spans))
        start("200 OK", [])
        return [b""]


@pytest.fixture
def receiver() -> Iterator[tuple[Receiver, str]]:
    one = Receiver()
    server = pywsgi.WSGIServer(("127.0.0.1", 0), one, log=None, error_log=None)
    server.start()
    yield one, f"http://127.0.0.1:{server.server_port}"
    server.stop(timeout=0)


def exporter(url: str, told: list[str]) -> OtlpSpans:
    where = target({}, url, "traces")
    assert where is not None
    return OtlpSpans(where, {}, told.append)


def test_full_batches_are_sent_at_once_and_the_rest_at_the_end(
    receiver: tuple[Receiver, str],
) -> None:
    told: list[str] = []
    one = exporter(receiver[1], told)
    for _ in range(BATCH):
        one.take(PLAIN)
    eventually(lambda: receiver[0].batches == [BATCH], "a batch is there")
    one.take(PLAIN)
    one.close(30.0)
    assert receiver[0].batches == [BATCH, 1]
    assert told == []


def test_a_partial_batch_is_sent_after_a_short_wait(
    receiver: tuple[Receiver, str], monkeypatch
) -> None:
    monkeypatch.setattr(otlp_spans, "DELAY_S", 0.01)
    one = exporter(receiver[1], [])
    one.take(PLAIN)
    eventually(lambda: receiver[0].batches == [1], "it is there")
    one.close(1.0)


def test_dropped_spans_are_counted(receiver: tuple[Receiver, str]) -> None:
    one = exporter(receiver[1], [])
    for _ in range(MAX_WAITING + 5):  # without yielding to the event loop
        one.take(PLAIN)
    one.close(30.0)
    assert sum(receiver[0].batches) == MAX_WAITING
    assert metrics_of("otel_spans") == MAX_WAITING
    assert metrics_of("otel_spans_dropped") == 5


def metrics_of(name: str) -> int:
    return metrics.built_in(metrics.Counter, name).value


def test_a_receiver_that_is_down_does_not_delay_the_end() -> None:
    told: list[str] = []
    with Carbon(listening=False) as nobody, gevent.Timeout(30.0):
        one = exporter(f"http://127.0.0.1:{nobody.port}", told)
        one.take(PLAIN)
        one.close(2.0)
    assert told[-1].endswith("1 request could not be delivered")
