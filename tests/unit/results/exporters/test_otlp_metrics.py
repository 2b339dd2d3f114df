"""Points of a run as OTLP metrics, decoded by the protocol's own definitions."""

from __future__ import annotations

import re
from collections import Counter
from math import inf

import pytest
from hypothesis import given
from hypothesis import strategies as st
from opentelemetry.proto.collector.metrics.v1.metrics_service_pb2 import ExportMetricsServiceRequest

from amoc.metrics.health_figures import NodePoint, WorkerPoint
from amoc.metrics.histogram import Histogram
from amoc.results.exporters.buckets import BOUNDS_S
from amoc.results.exporters.otlp_environment import MetricOptions
from amoc.results.exporters.otlp_metrics import SCALE, Metrics
from amoc.results.series import Point, Tally, ThrottlePoint
from tests.rooms import ROOT
from tests.unit.results import runs

RESOURCE = {"service.name": "amoc", "service.instance.id": "1"}
PLAIN = MetricOptions()
DELTA = MetricOptions(is_delta=True)


def decoded(body: bytes) -> dict:
    """Data points by metric and attributes, after checking that none occurs twice."""
    request = ExportMetricsServiceRequest.FromString(body)
    (of_resource,) = request.resource_metrics
    (scope,) = of_resource.scope_metrics
    assert Counter(one.name for one in scope.metrics).most_common(1)[0][1] == 1
    found = {}
    for metric in scope.metrics:
        for point in getattr(metric, metric.WhichOneof("data")).data_points:
            pairs = [(one.key, one.value.string_value) for one in point.attributes]
            key = (metric.name, *pairs)
            assert key not in found
            found[key] = point
    return found


def sent(points: list[Point], options: MetricOptions = PLAIN) -> list[dict]:
    metrics = Metrics(RESOURCE, options)
    return [decoded(metrics.request(one)) for one in points]


STEP = {
    "login.count": 3,
    "login.failures": 1,
    "login.failures.status 503": 1,
    "login.bytes": 10,
    "Aggregated.count": 3,
    "Aggregated.failures": 1,
    "ok.passed": 2,
    "ok.failed": 1,
    "plain": 7,
}


def point(second: int = 1, **fields) -> Point:
    return Point(t_s=float(second), span_s=1.0, at=1_790_000_000.0 + second, **fields)


def test_totals_match_the_run():
    points = runs.points(20, stall=range(5, 7))
    tally = Tally.of(points)
    last = sent(points)[-1]
    for name, total in tally.counters.items():
        assert last["amoc.counter", ("counter", name)].as_int == total
    timer = tally.timers["message_ttd"]
    histogram = last["amoc.timer.duration", ("timer", "message_ttd")]
    assert histogram.count == sum(histogram.bucket_counts) == timer.count
    assert histogram.sum == pytest.approx(timer.mean_s * timer.count)
    assert histogram.max == timer.max_ns / 1e9
    assert last["amoc.users", ("state", "running")].as_double == 50
    assert last["amoc.users.started",].as_int == 50
    executions = tally.throttles["messages"].executions
    assert last["amoc.throttle.executions", ("throttle", "messages")].as_int == executions
    cause = "OSError: timed out (chat.py:12 in start)"
    assert last["amoc.crashes", ("cause", cause)].as_int == sum(tally.crashes.values())


def test_times_match_the_points():
    points = runs.points(2)
    for one, found in zip(points, sent(points), strict=True):
        total = found["amoc.counter", ("counter", "messages_sent")]
        assert total.time_unix_nano == int(one.at * 1e9)
        assert total.start_time_unix_nano == int(runs.BEGAN_AT * 1e9)
    delta = sent(points, DELTA)[1]["amoc.counter", ("counter", "messages_sent")]
    assert delta.start_time_unix_nano == int(points[0].at * 1e9)


def test_steps_checks_and_requests_have_separate_metrics():
    timers = {"login": Histogram.of([10**7] * 2), "Aggregated": Histogram.of([10**7] * 2)}
    (found,) = sent([point(counters=STEP, timers=timers)])
    assert found["amoc.step.executions", ("step", "login")].as_int == 3
    failures = found["amoc.step.failures", ("step", "login"), ("cause", "status 503")]
    assert failures.as_int == 1
    assert [key for key in found if key[0] == "amoc.step.failures"] == [
        ("amoc.step.failures", ("step", "login"), ("cause", "status 503"))
    ]
    assert found["amoc.step.bytes", ("step", "login")].as_int == 10
    assert found["amoc.step.duration", ("step", "login")].count == 2
    assert found["amoc.requests",].as_int == 3
    assert found["amoc.requests.failures",].as_int == 1
    assert found["amoc.requests.duration",].count == 2
    assert found["amoc.checks", ("check", "ok"), ("result", "failed")].as_int == 1
    assert found["amoc.counter", ("counter", "plain")].as_int == 7
    assert not [key for key in found if key[0] == "amoc.timer.duration"]


def test_a_step_recognized_late_keeps_its_counts():
    early = point(counters={"login.count": 2, "login.failures": 2, "login.failures.why": 2})
    late = point(2, counters={"login.count": 1}, timers={"login": Histogram.of([5])})
    found = sent([early, late])[1]
    assert found["amoc.step.executions", ("step", "login")].as_int == 3
    assert found["amoc.step.failures", ("step", "login"), ("cause", "why")].as_int == 2
    assert not [key for key in found if key[0] == "amoc.counter"]


DURATIONS = st.lists(st.integers(0, 10**11), max_size=50)


@given(st.lists(DURATIONS, min_size=1, max_size=4))
def test_deltas_add_up_to_the_cumulative_values(seconds):
    points = [
        point(second, timers={"t": Histogram.of(some)}, counters={"n": len(some)})
        for second, some in enumerate(seconds, 1)
    ]
    whole = sent(points)[-1]
    parts = sent(points, DELTA)
    key = ("amoc.timer.duration", ("timer", "t"))
    counts = [sum(each) for each in zip(*(one[key].bucket_counts for one in parts), strict=True)]
    assert counts == list(whole[key].bucket_counts)
    n = ("amoc.counter", ("counter", "n"))
    assert sum(one[n].as_int for one in parts if n in one) == whole[n].as_int


@given(DURATIONS)
def test_every_duration_is_in_one_explicit_bucket(some):
    (found,) = sent([point(timers={"t": Histogram.of(some)})])
    histogram = found["amoc.timer.duration", ("timer", "t")]
    assert list(histogram.explicit_bounds) == list(BOUNDS_S)
    assert sum(histogram.bucket_counts) == histogram.count == len(some)
    upto = 0
    for bound, count in zip([*BOUNDS_S, inf], histogram.bucket_counts, strict=True):
        upto += count
        least = sum(ns <= bound * 1e9 * (1 - 0.004) for ns in some)
        assert least <= upto <= sum(ns <= bound * 1e9 * (1 + 0.004) for ns in some)


@given(DURATIONS)
def test_every_duration_is_in_one_exponential_bucket(some):
    (found,) = sent([point(timers={"t": Histogram.of(some)})], MetricOptions(is_exponential=True))
    histogram = found["amoc.timer.duration", ("timer", "t")]
    assert histogram.scale == SCALE
    assert histogram.zero_count == some.count(0)
    counts = histogram.positive.bucket_counts
    assert histogram.zero_count + sum(counts) == histogram.count == len(some)
    base = 2 ** (2**-SCALE)
    upto = histogram.zero_count
    for index, count in enumerate(counts, histogram.positive.offset):
        upto += count
        end_ns = base ** (index + 1) * 1e9
        least = sum(ns <= end_ns * (1 - 0.0041) for ns in some)
        assert least <= upto <= sum(ns <= end_ns * (1 + 0.0041) for ns in some)


def test_names_may_have_any_characters():
    names = {"": 1, "\ud800": 1, "\x00": 1, "é日": 1, "x" * 5000: 1}
    (found,) = sent([point(counters=names)])
    shown = {key[1][1] for key in found if key[0] == "amoc.counter"}
    assert shown == {"", "?", "\x00", "é日", "x" * 5000}


def test_encoding_yields_between_metrics():
    breaths = []
    Metrics(RESOURCE, MetricOptions()).request(runs.points(1)[0], lambda: breaths.append(1))
    assert len(breaths) > 10


def test_the_docs_list_exactly_the_metrics_with_their_attributes():
    everything = point(
        counters=STEP,
        timers={name: Histogram.of([5]) for name in ("login", "Aggregated", "turn")},
        gauges={"level": 1.0},
        crashes={"ValueError": 1},
        throttles={"t": ThrottlePoint(rate=1.0, interval_s=1.0, mode="constant")},
        workers=[WorkerPoint(node="n", worker=0)],
        nodes=[NodePoint(name="n")],
    )
    both = Metrics(RESOURCE, MetricOptions())
    both.request(everything)
    body = both.request(
        point(2, counters={**STEP, "Aggregated.bytes": 4}, timers=everything.timers)
    )
    real = set()
    (first,) = sent([everything])
    for key in (*first, *decoded(body)):
        real.add((key[0], ", ".join(name for name, _ in key[1:])))
    page = (ROOT / "docs/exporters.md").read_text().partition("## OpenTelemetry")[2]
    rows = re.findall(r"^\| `(amoc\.[\w.]+)` \|([\w, ]*)\|", page, re.MULTILINE)
    assert {(name, which.strip()) for name, which in rows} == real
    assert len(rows) == len(real)
