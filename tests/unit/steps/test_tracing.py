"""Spans of steps: nesting, sampling and contents."""

from __future__ import annotations

import re
from collections.abc import Iterator

import gevent
import pytest
from gevent import GreenletExit

from amoc import step
from amoc.metrics import registry
from amoc.steps import recorder, tracing
from amoc.steps.api import Step
from amoc.steps.tracing import Span, TracedStep


@pytest.fixture
def spans() -> Iterator[list[Span]]:
    """All spans of the test's steps, with each trace sampled."""
    taken: list[Span] = []
    with registry.Registry().activated():
        tracing.begin(1.0, taken.append)
        yield taken
        tracing.end()


def test_nested_steps_form_one_trace(spans: list[Span]) -> None:
    with step("visit"):
        with step("look"):
            pass
        with step("buy"), step("pay"):
            pass
    with step("visit"):
        pass
    look, pay, buy, visit, other = spans
    assert [one.name for one in spans] == ["look", "pay", "buy", "visit", "visit"]
    assert {one.trace_id for one in (look, pay, buy, visit)} == {visit.trace_id}
    assert other.trace_id != visit.trace_id
    assert visit.parent_id == other.parent_id == 0
    assert look.parent_id == buy.parent_id == visit.span_id
    assert pay.parent_id == buy.span_id
    assert visit.begin_ns <= look.begin_ns <= look.end_ns <= buy.begin_ns <= visit.end_ns


def test_a_failed_steps_span_has_cause_and_message(spans: list[Span]) -> None:
    with step("pay") as this:
        this.fail("refused", "no money")
    with pytest.raises(KeyError), step("look"):
        raise KeyError("x")
    assert [(one.cause, one.message) for one in spans] == [
        ("refused", "no money"),
        ("KeyError", "'x'"),
    ]


def test_an_expected_exception_is_swallowed_as_without_spans(spans: list[Span]) -> None:
    with step("pay", expected=TimeoutError):
        raise TimeoutError
    assert spans[0].cause == "TimeoutError"


def test_a_step_that_ends_with_its_greenlet_has_no_span(spans: list[Span]) -> None:
    with pytest.raises(GreenletExit), step("pay"):
        raise GreenletExit
    assert spans == []


def test_each_greenlet_has_separate_traces(spans: list[Span]) -> None:
    def work() -> None:
        with step("work"):
            pass

    with step("visit"):
        gevent.spawn(work).join()
    assert len({one.trace_id for one in spans}) == 2


def test_a_function_decorated_before_tracing_starts_has_spans() -> None:
    taken: list[Span] = []
    with registry.Registry().activated():

        @step
        def browse() -> None:
            pass

        tracing.begin(1.0, taken.append)
        browse()
        tracing.end()
        browse()
    assert [one.name for one in taken] == ["browse"]


def test_traceparent_names_the_sampled_trace(spans: list[Span]) -> None:
    with step("visit") as visit, step("GET /") as inner:
        pass
    sampled = re.fullmatch("00-([0-9a-f]{32})-([0-9a-f]{16})-01", inner.traceparent)
    assert sampled is not None
    assert int(sampled[1], 16) == spans[0].trace_id
    assert int(sampled[2], 16) == spans[0].span_id
    assert visit.traceparent[:35] == inner.traceparent[:35]


def test_a_share_of_traces_is_sampled_completely() -> None:
    taken: list[Span] = []
    said: list[str] = []
    with registry.Registry().activated():
        tracing.begin(0.25, taken.append)
        for _ in range(2000):
            with step("visit"), step("look") as look:
                said.append(look.traceparent[-2:])
        tracing.end()
    assert said.count("01") * 2 == len(taken)
    assert 350 < said.count("01") < 650  # 500 ± 7.7 standard deviations
    by_trace: dict[int, int] = {}
    for one in taken:
        by_trace[one.trace_id] = by_trace.get(one.trace_id, 0) + 1
    assert set(by_trace.values()) == {2}


def test_without_tracing_steps_are_plain_steps() -> None:
    with registry.Registry().activated(), step("visit") as visit:
        visit.describe({"a": 1})
        assert type(visit) is Step
        assert not isinstance(visit, TracedStep)
        assert visit.traceparent == ""


def test_a_recorded_request_is_a_span_of_the_surrounding_step(spans: list[Span]) -> None:
    with step("visit"):
        recorder.record("ping", 5_000_000)
        recorder.record("iq", 0, cause="timeout", message="no answer", failed_ns=7_000_000)
    recorder.record("ping", 3_000)
    ping, iq, visit, alone = spans
    assert (ping.name, ping.end_ns - ping.begin_ns, ping.cause) == ("ping", 5_000_000, "")
    assert (iq.cause, iq.message, iq.end_ns - iq.begin_ns) == ("timeout", "no answer", 7_000_000)
    assert ping.parent_id == iq.parent_id == visit.span_id
    assert ping.trace_id == visit.trace_id != alone.trace_id
    assert (alone.parent_id, alone.end_ns - alone.begin_ns) == (0, 3_000)


def test_a_request_recorded_in_an_unsampled_trace_has_no_span() -> None:
    taken: list[Span] = []
    with registry.Registry().activated():
        tracing.begin(0.0, taken.append)
        with step("visit"):
            recorder.record("ping", 1)
        recorder.record("ping", 1)
        tracing.end()
        recorder.record("ping", 1)
    assert taken == []
