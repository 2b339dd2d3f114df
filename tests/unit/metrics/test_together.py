"""Recording several metrics in one call: the same as one after another, and full ones stay full."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from amoc import metrics
from amoc.metrics import registry, together
from amoc.metrics.board import MAX_COUNT

DURATIONS = st.one_of(st.integers(-5, 300), st.integers(0, 2**50), st.just(2**64 - 1))


def read() -> dict[str, object]:
    return {metric.name: metric.value for metric in metrics.read()}


@given(st.lists(st.tuples(DURATIONS, st.integers(0, 2**40)), max_size=20))
def test_together_is_as_one_after_another(events):
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


@pytest.mark.parametrize("left", [0, 1])
def test_a_counter_that_is_full_stays_full_and_the_others_go_on(left):
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


def test_one_after_another_and_together_count_in_the_same_cells():
    with registry.Registry().activated():
        one, timer = metrics.counter("one"), metrics.timer("t")
        one.inc(2)
        timer.record_ns(9_000_000)
        together.record((one,), ((one, 3),), (timer,), 5)
        one.inc()
        timer.record_ns(7)
        assert one.value == 7
        assert read()["t"].max_ns == 9_000_000
