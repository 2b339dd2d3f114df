"""Rules of a locustfile's run: the mix of user classes, the spawn rate and wait times."""

from __future__ import annotations

import random
from collections import Counter
from types import SimpleNamespace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from amoc.locust import wait_time
from amoc.locust.distribution import Distribution
from amoc.locust.steps_of_shape import Steps

WEIGHTS = st.lists(st.integers(0, 50), min_size=1, max_size=6).filter(any)


@given(weights=WEIGHTS, users=st.integers(1, 500))
def test_any_number_of_first_users_is_mixed_by_weight(weights: list[int], users: int) -> None:
    mix = Distribution(weights, [0] * len(weights))
    counts = Counter(mix.class_of(number) for number in range(1, users + 1))
    for index, weight in enumerate(weights):
        assert abs(counts[index] - users * weight / sum(weights)) < 1


@given(weights=WEIGHTS, fixed=st.data())
def test_fixed_counts_come_first_and_are_exact(weights: list[int], fixed: st.DataObject) -> None:
    counts = fixed.draw(
        st.lists(st.integers(0, 5), min_size=len(weights), max_size=len(weights)).filter(any)
    )
    mix = Distribution(weights, counts)
    first = sum(counts)
    found = Counter(mix.class_of(number) for number in range(1, first + 1))
    assert [found[index] for index in range(len(counts))] == counts
    later = {mix.class_of(number) for number in range(first + 1, first + 200)}
    free = {index for index, count in enumerate(counts) if not count and weights[index]}
    assert later == free or (not free and later)


def test_weights_may_be_fractions_but_must_be_in_proportion() -> None:
    mix = Distribution([0.5, 1.5], [0, 0])
    assert Counter(map(mix.class_of, range(1, 401))) == {0: 100, 1: 300}
    with pytest.raises(ValueError, match="must be in a proportion"):
        Distribution([1, 10**9], [0, 0])


@given(
    start=st.integers(0, 200),
    target=st.integers(0, 200),
    rate=st.floats(0.1, 500),
    seconds=st.floats(0.5, 2),
)
def test_users_start_and_stop_no_faster_than_the_rate(
    start: int, target: int, rate: float, seconds: float
) -> None:
    steps = Steps(start)
    moved = 0
    for turn in range(1, 5000):
        change = steps.towards(target, rate, seconds)
        moved += change
        assert (change > 0) is (target > start) or change == 0
        assert abs(moved) <= max(1.0, rate * seconds) + rate * seconds * (turn - 1) + 1e-6
        if steps.count == target:
            break
    assert steps.count == start + moved == target
    assert steps.towards(target, rate, seconds) == 0


def test_the_first_user_starts_at_once_and_the_next_by_the_rate() -> None:
    steps = Steps(0)
    assert [steps.towards(3, 0.5, 1.0) for _ in range(5)] == [1, 0, 1, 0, 1]
    steps = Steps(0)
    assert [steps.towards(5, 2, 1.0) for _ in range(3)] == [2, 2, 1]


@given(st.floats(0, 5), st.floats(0, 5))
def test_wait_times_stay_within_their_bounds(low: float, more: float) -> None:
    assert low <= wait_time.between(low, low + more)(None) <= low + more + 1e-9
    assert wait_time.constant(low)(None) == low


def test_constant_pacing_subtracts_the_duration_of_the_task(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    now = 100.0
    monkeypatch.setattr(wait_time, "perf_counter", lambda: now)
    user = SimpleNamespace()
    user.__dict__["_born"] = 100.0
    paced = wait_time.constant_pacing(10)
    now = 103.0
    assert paced(user) == 7
    now = 110.0 + 4
    assert paced(user) == 6
    now = 120.0 + 12  # the task took too long: the next one begins at once
    assert paced(user) == 0
    now = 132.0 + 1
    assert paced(user) == 9


def test_throughput_sets_a_pace_and_poisson_has_the_right_mean() -> None:
    user = SimpleNamespace()
    assert wait_time.constant_throughput(4)(user) == pytest.approx(0.25)
    random.seed(3)
    waits = [wait_time.poisson(4)(user) for _ in range(4000)]
    assert sum(waits) / 4000 == pytest.approx(0.25, rel=0.1)
    for law in (wait_time.constant_throughput, wait_time.poisson):
        with pytest.raises(ValueError, match="above 0"):
            law(0)
