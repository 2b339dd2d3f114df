"""Metrics sent over real sockets to a stand-in receiver that decodes them.

tests/servers has one that was written by others.
"""

from __future__ import annotations

import gzip
from typing import Any, Self

import pytest
from gevent import pywsgi
from opentelemetry.proto.collector.metrics.v1.metrics_service_pb2 import (
    ExportMetricsPartialSuccess,
    ExportMetricsServiceRequest,
    ExportMetricsServiceResponse,
)

from amoc.base.errors import ResourceError
from amoc.results import exporters
from amoc.results.exporters import RunInfo, background
from amoc.results.exporters.otlp import OtlpMetrics
from amoc.results.exporters.otlp_environment import MetricOptions, target
from tests.unit.results import runs
from tests.unit.results.exporters.support import Carbon, eventually, feed
from tests.unit.results.exporters.test_starting import values

KEY = "messages_sent"


@pytest.fixture(autouse=True)
def _short_retry_pauses(monkeypatch):
    monkeypatch.setattr(background, "FIRST_PAUSE_S", 0.002)
    monkeypatch.setattr(background, "MAX_PAUSE_S", 0.01)


class Receiver:
    """Accepts metrics; responds with each of `statuses`, then with 200.

    Attributes:
        totals: Of one counter, as they came.
        asked: The environments of all requests.
    """

    def __init__(self, *statuses: str, port: int = 0, rejected: int = 0) -> None:
        self._statuses = list(statuses)
        self._rejected = rejected
        self.totals: list[int] = []
        self.asked: list[dict[str, Any]] = []
        self._server = pywsgi.WSGIServer(
            ("127.0.0.1", port), self._answer, log=None, error_log=None
        )
        self._server.start()
        self.port = self._server.server_port
        self.url = f"http://127.0.0.1:{self.port}"

    def _answer(self, environ, start):
        self.asked.append(environ)
        body = environ["wsgi.input"].read()
        if environ.get("HTTP_CONTENT_ENCODING") == "gzip":
            body = gzip.decompress(body)
        status = self._statuses.pop(0) if self._statuses else "200 OK"
        start(status, [("Content-Type", "application/x-protobuf")])
        if status != "200 OK":
            return [b"whatever"]
        request = ExportMetricsServiceRequest.FromString(body)
        for metric in request.resource_metrics[0].scope_metrics[0].metrics:
            for point in metric.sum.data_points:
                if [one.value.string_value for one in point.attributes] == [KEY]:
                    self.totals.append(point.as_int)
        said = ExportMetricsPartialSuccess(rejected_data_points=self._rejected, error_message="no")
        return [ExportMetricsServiceResponse(partial_success=said).SerializeToString()]

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._server.stop(timeout=0)


def exporter(url: str, told: list[str], **options: Any) -> OtlpMetrics:
    where = target(options.pop("environ", {}), url, "metrics")
    assert where is not None
    return OtlpMetrics(where, {"service.name": "amoc"}, MetricOptions(**options), told.append)


def growing(points) -> list[int]:
    totals = [0]
    for one in points:
        totals.append(totals[-1] + one.counters[KEY])
    return totals[1:]


POINTS = runs.points(6)


def test_every_point_arrives_with_headers_from_the_environment():
    told: list[str] = []
    environ = {
        "OTEL_EXPORTER_OTLP_HEADERS": "api-key=%2A1",
        "OTEL_EXPORTER_OTLP_COMPRESSION": "gzip",
    }
    with Receiver() as receiver:
        one = exporter(f"{receiver.url}/base", told, environ=environ)
        feed(one, POINTS)
        one.close(30.0)
        assert receiver.totals == growing(POINTS)
    asked = receiver.asked[0]
    assert asked["PATH_INFO"] == "/base/v1/metrics"
    assert asked["CONTENT_TYPE"] == "application/x-protobuf"
    assert asked["HTTP_API_KEY"] == "*1"
    # One connection carries all of them.
    assert len({environ["REMOTE_PORT"] for environ in receiver.asked}) == 1
    assert told == []


@pytest.mark.parametrize("status", ["429 Slow Down", "503 Busy"])
def test_a_busy_receiver_gets_the_same_request_again(status):
    told: list[str] = []
    with Receiver(status, status) as receiver:
        one = exporter(receiver.url, told)
        feed(one, POINTS)
        eventually(lambda: len(receiver.totals) == len(POINTS), "all are there")
        one.close(30.0)
        assert receiver.totals == growing(POINTS)
    (text,) = told
    assert f"it answers {status}" in text
    assert "kept" in text


def test_rejected_requests_are_dropped_and_reported():
    told: list[str] = []
    with Receiver("400 Bad", "400 Bad") as receiver:
        one = exporter(receiver.url, told)
        feed(one, POINTS)
        one.close(30.0)
        assert receiver.totals == growing(POINTS)[2:]
    assert [text.partition(": ")[2] for text in told] == [
        "it answers 400 Bad",
        "2 requests could not be delivered",
    ]


def test_partial_rejections_are_reported():
    told: list[str] = []
    with Receiver(rejected=3) as receiver:
        one = exporter(receiver.url, told)
        feed(one, POINTS[:1])
        one.close(30.0)
    assert "it rejects 3 values: no" in told[0]


def test_a_receiver_that_comes_back_gets_everything():
    told: list[str] = []
    with Carbon(listening=False) as nobody:
        one = exporter(f"http://127.0.0.1:{nobody.port}", told)
        feed(one, POINTS)
        eventually(lambda: told, "it is said")
        port = nobody.port
    with Receiver(port=port) as receiver:
        eventually(lambda: len(receiver.totals) == len(POINTS), "all are there")
        one.close(30.0)
        assert receiver.totals == growing(POINTS)
    assert len(told) == 1


def test_a_receiver_that_stays_down_does_not_delay_the_end():
    told: list[str] = []
    with Carbon(listening=False) as nobody:
        one = exporter(f"http://127.0.0.1:{nobody.port}", told)
        feed(one, POINTS)
        one.close(5.0)
    assert told[-1].endswith(f"{len(POINTS)} requests could not be delivered")


def test_points_are_batched_with_a_longer_interval():
    told: list[str] = []
    with Receiver() as receiver:
        one = exporter(receiver.url, told, interval_s=4.0, is_delta=True)
        feed(one, POINTS)
        one.close(30.0)
        sent = [one.counters[KEY] for one in POINTS]
        assert receiver.totals == [sum(sent[:4]), sum(sent[4:])]


def test_a_run_sends_metrics_to_the_endpoint_from_the_environment(monkeypatch):
    monkeypatch.setenv("OTEL_EXPORTER_OTLP_ENDPOINT", "http://127.0.0.1:9")
    run = RunInfo("1", "chat")
    (one,) = exporters.start(values(), run, print)
    assert isinstance(one, OtlpMetrics)
    one.close(0.0)


def test_a_missing_package_is_named(monkeypatch):
    told: list[str] = []
    run = RunInfo("1", "chat")
    monkeypatch.setattr(exporters, "find_spec", lambda _: None)
    with pytest.raises(ResourceError, match=r"pip install 'amoc\[otel\]'"):
        exporters.start(values(otel_endpoint="http://127.0.0.1:9"), run, told.append)
    monkeypatch.setenv("OTEL_EXPORTER_OTLP_ENDPOINT", "http://127.0.0.1:9")
    assert exporters.start(values(), run, told.append) == []
    assert "pip install" in told[0]
