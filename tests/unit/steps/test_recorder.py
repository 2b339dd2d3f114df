"""Counts of steps: by name, by cause, and aggregated over all requests."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from amoc import metrics
from amoc.base.context import WorkerContext
from amoc.base.errors import ScenarioError
from amoc.metrics import registry
from amoc.metrics.area import Area, Kind
from amoc.metrics.histogram import Histogram
from amoc.metrics.step_names import AGGREGATED, steps_in
from amoc.steps import recorder
from amoc.steps.recorder import FailureSamples


@pytest.fixture(autouse=True)
def own_metrics():
    with registry.Registry().activated():
        yield


def counters(area: Area | None = None) -> dict[str, int]:
    found = metrics.read() if area is None else area.read()
    return {one.name: one.value for one in found if one.kind is Kind.COUNTER}


def timer(name: str) -> Histogram:
    return next(one.value for one in metrics.read() if one.name == name)


def test_a_request_counts_in_its_step_and_in_the_aggregate():
    recorder.record("GET /item/[id]", 2_000, size=70)
    recorder.record("GET /item/[id]", 5_000, size=30)
    recorder.record("POST /login", 9_000)
    assert counters() == {
        "GET /item/[id].count": 2,
        "GET /item/[id].failures": 0,
        "GET /item/[id].bytes": 100,
        "POST /login.count": 1,
        "POST /login.failures": 0,
        "Aggregated.count": 3,
        "Aggregated.failures": 0,
        "Aggregated.bytes": 100,
    }
    assert timer("GET /item/[id]") == Histogram.of([2_000, 5_000])
    assert timer(AGGREGATED) == Histogram.of([2_000, 5_000, 9_000])


def test_a_failure_has_one_cause_and_is_not_timed():
    recorder.record("pay", 1_000)
    recorder.record("pay", 7_000, cause="status 503")
    recorder.record("pay", 8_000, cause="status 503")
    recorder.record("pay", 9_000, cause="timeout (read)")
    found = counters()
    assert found["pay.count"] == 4
    assert found["pay.failures"] == 3
    assert found["pay.failures.status 503"] == 2
    assert found["pay.failures.timeout (read)"] == 1
    assert timer("pay").count == 1
    assert [name for name in found if name.startswith("Aggregated.failures.")] == []


def test_a_request_can_fail_after_it_was_counted():
    recorder.record("pay", 1_000)
    recorder.fail_later("pay", "check status", "expected 200, got 204")
    found = counters()
    assert (found["pay.count"], found["pay.failures"], found["pay.failures.check status"]) == (
        1,
        1,
        1,
    )
    assert (found["Aggregated.count"], found["Aggregated.failures"]) == (1, 1)


@given(st.lists(st.sampled_from([*range(40)]), min_size=1, max_size=80))
def test_failures_by_cause_add_up_however_many_causes_there_are(causes: list[int]):
    with registry.Registry().activated():
        for one in causes:
            recorder.record("pay", 1, cause=f"order {one}")
        found = counters()
        by_cause = {name: n for name, n in found.items() if name.startswith("pay.failures.")}
        assert sum(by_cause.values()) == found["pay.failures"] == len(causes)
        assert len(by_cause) <= recorder.MAX_CAUSES + 1
        first = list(dict.fromkeys(causes))[: recorder.MAX_CAUSES]
        for one in first:
            assert by_cause[f"pay.failures.order {one}"] == causes.count(one)


def test_the_first_failure_with_a_cause_is_the_sample():
    seen = []
    context = WorkerContext()
    context.set(FailureSamples, FailureSamples(lambda *one: seen.append(one)))
    with context.activated():
        recorder.record("pay", 1, cause="status 503", message="try again\nlater")
        recorder.record("pay", 1, cause="status 503", message="another")
        for number in range(recorder.MAX_CAUSES + 5):
            recorder.record("pay", 1, cause=f"order {number}", message="refused")
    assert seen[0] == ("pay", "status 503", "try again later")
    assert seen[-1] == ("pay", "other", f"order {recorder.MAX_CAUSES - 1}: refused")
    assert len(seen) == recorder.MAX_CAUSES + 1


def test_a_cause_is_one_short_line():
    recorder.record("pay", 1, cause="a\tb\n" + "x" * 500)
    (found,) = (name for name in counters() if name.startswith("pay.failures."))
    assert found.removeprefix("pay.failures.").startswith("a b xxx")
    assert len(found) <= len("pay.failures.") + recorder.MAX_CAUSE


def test_a_replaced_worker_continues_the_counts():
    area = Area(memoryview(bytearray(20 << 20)))
    for incarnation in (1, 2):
        with registry.Registry(area).activated():
            recorder.record("pay", 1)
            recorder.record("pay", 1, cause="status 503")
            assert counters(area)["pay.failures.status 503"] == incarnation
    assert counters(area)["Aggregated.count"] == 4


def test_failures_count_as_other_if_shared_memory_is_full():
    area = Area(memoryview(bytearray(20 << 20)))
    with registry.Registry(area).activated():
        recorder.of("pay")
        while area.free > recorder.KEPT_FREE:
            metrics.counter(f"filler {area.free}")
        recorder.record("pay", 1, cause="status 503")
        assert counters(area)["pay.failures.other"] == 1


@pytest.mark.parametrize("name", ["", "a\nb", "x" * 201, "pay.failures", "Aggregated", "crashes"])
def test_invalid_step_names_are_refused(name: str):
    recorder.of("first")
    with pytest.raises(ScenarioError):
        recorder.of(name)


def test_steps_are_recognised_by_their_metrics():
    recorder.of("b")
    recorder.of("a")
    metrics.timer("no step")
    metrics.counter("c.failures").inc()
    names = {name for name, _ in registry.current.declared()}
    assert steps_in(names) == ["a", "b", AGGREGATED]
