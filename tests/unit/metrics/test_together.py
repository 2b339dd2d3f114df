"""Recording several metrics in one call: the same as one after another, and full ones stay full."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from amoc import metrics
from amoc.metrics import registry, together
from amoc.metrics.area import MAX_COUNT

DURATIONS = st.one_of(st.integers(-5, 300), st.integers(0, 2**50), st.just(2**64 - 1))


def read() -> dict[str, object]:
    return {metric.name: metric.value for metric in metrics.read()}


@given(st.lists(st.tuples(DURATIONS, st.integers(0, 2**40)), max_size=20))
def test_recording_together_equals_recording_one_by_one(events):
    with registry.Registry().activated():
        events_counted, amount, timer = (
            metrics.counter("events"),
            metrics.counter("amount"),
            metrics.timer("time"),
        )
        for ns, size in events:
            events_counted.inc()
            amount.inc(size)
            timer.record_ns(ns)
        wanted = read()
    with registry.Registry().activated():
        counters, amounts = (metrics.counter("events"),), metrics.counter("amount")
        timers = (metrics.timer("time"),)
        for ns, size in events:
            together.record(counters, ((amounts, size),), timers, ns)
        assert read() == wanted


@given(st.lists(DURATIONS, max_size=20), st.integers(0, 3))
def test_an_event_is_recorded_as_its_metrics_one_by_one(durations, left):
    seen = []
    for by_event in (True, False):
        with registry.Registry().activated():
            full, timer = metrics.counter("full"), metrics.timer("t")
            full.inc(MAX_COUNT - left)
            for ns in durations:
                if by_event:
                    together.event(full, timer, ns)
                else:
                    full.inc(), timer.record_ns(ns)
            seen.append(read())
    assert seen[0] == seen[1]


SIZES = st.integers(0, 2**40)


def meters_of_requests() -> together.OfRequest:
    """Meters of a request: two counters and a timer are joint, as for steps."""

    def counter(name: str) -> metrics.Counter:
        return metrics.counter(f"counter of {name}")

    events = registry.joint((counter("status"), counter("step"), counter("all")))
    sizes = registry.joint((counter("step's sizes"), counter("sizes")))
    whole = registry.joint((metrics.timer("step"), metrics.timer("all")))
    first = metrics.timer("first byte")
    return (*events, counter("received"), counter("sent"), *sizes, first, *whole)


@given(st.lists(st.tuples(SIZES, SIZES, SIZES, DURATIONS, DURATIONS), max_size=20))
def test_a_request_is_recorded_as_its_metrics_one_by_one_or_not_at_all(requests):
    done = []
    with registry.Registry().activated():
        meters = meters_of_requests()
        for timer in meters[4:]:
            timer.record_ns(2**40)
        for one in requests:
            before = read()
            if together.request(meters, *one):
                done.append(one)
            else:
                assert read() == before
                assert not 0 <= one[3] <= one[4] <= 2**40
        got = read()
    with registry.Registry().activated():
        *counters, first, whole = meters_of_requests()
        for timer in (first, whole):
            timer.record_ns(2**40)
        for received, sent, size, first_ns, ns in done:
            for counter, amount in zip(counters, (1, received, sent, size), strict=True):
                counter.inc(amount)
            first.record_ns(first_ns)
            whole.record_ns(ns)
        assert read() == got


@pytest.mark.parametrize("number", range(4))
def test_a_full_counter_of_a_request_does_not_stop_the_others(number):
    with registry.Registry().activated():
        meters = meters_of_requests()
        counters = meters[:4]
        counters[number].inc(MAX_COUNT)
        for timer in meters[4:]:
            timer.record_ns(100)
        for _ in range(2):
            assert together.request(meters, 5, 6, 7, 10, 20)
        wanted = [2, 10, 12, 14]
        wanted[number] = MAX_COUNT
        assert [one.value for one in counters] == wanted
        assert read()["all"].count == 3


@pytest.mark.parametrize("left", [0, 1])
def test_a_full_counter_stays_full_and_the_others_keep_counting(left):
    with registry.Registry().activated():
        full, other, timer = metrics.counter("full"), metrics.counter("b"), metrics.timer("t")
        full.inc(MAX_COUNT - left)
        for _ in range(3):
            together.record((full, other), ((full, 5), (other, 5)), (timer,), 1_000)
        assert full.value == MAX_COUNT
        assert other.value == 18
        full.inc()
        assert full.value == MAX_COUNT
        assert read()["t"].count == 3


def test_separate_and_joint_recording_share_the_same_cells():
    with registry.Registry().activated():
        one, timer = metrics.counter("one"), metrics.timer("t")
        one.inc(2)
        timer.record_ns(9_000_000)
        together.record((one,), ((one, 3),), (timer,), 5)
        one.inc()
        timer.record_ns(7)
        assert one.value == 7
        assert read()["t"].max_ns == 9_000_000
