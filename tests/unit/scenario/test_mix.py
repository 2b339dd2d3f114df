"""User kinds: exactly by weight, determined by the user's number alone."""

from __future__ import annotations

from fractions import Fraction

import pytest
from hypothesis import given
from hypothesis import strategies as st

from amoc.scenario.mix import MAX_LENGTH, Mix, whole_weights

WEIGHTS = st.lists(st.integers(1, 40), min_size=1, max_size=8)


@given(WEIGHTS, st.integers(0, 500))
def test_each_kinds_share_of_the_first_users_is_off_by_less_than_one(weights, count):
    mix, total = Mix(weights), sum(weights)
    given_out = [0] * len(weights)
    for user_id in range(1, count + 1):
        given_out[mix.kind_of(user_id)] += 1
        for weight, number in zip(weights, given_out, strict=True):
            assert abs(number - Fraction(user_id * weight, total)) < 1


@given(WEIGHTS)
def test_a_whole_pattern_is_exactly_the_proportion(weights):
    whole, mix = whole_weights(weights), Mix(weights)
    for block in (0, 1, 7):
        first = 1 + block * sum(whole)
        kinds = [mix.kind_of(user_id) for user_id in range(first, first + sum(whole))]
        assert tuple(kinds.count(kind) for kind in range(len(weights))) == whole


@pytest.mark.parametrize("workers", [2, 3, 4, 8])
@pytest.mark.parametrize("weights", [(1, 1), (1, 9), (2, 1, 1), (1, 3)])
def test_no_worker_gets_all_users_of_a_kind(weights, workers):
    mix, count = Mix(weights), 4_800
    for kind, weight in enumerate(weights):
        share = count * weight / sum(weights) / workers
        for worker in range(workers):
            mine = sum(mix.kind_of(one) == kind for one in range(worker + 1, count + 1, workers))
            assert mine == pytest.approx(share, rel=0.35)


def test_weights_are_proportions():
    assert whole_weights([2, 4]) == whole_weights([0.1, 0.2]) == whole_weights([50, 100]) == (1, 2)
    assert whole_weights([0.7, 0.3]) == (7, 3)
    assert Mix([5]).kind_of(10**9) == 0


@pytest.mark.parametrize(
    ("weights", "why"),
    [
        ([], "must have 1 to 100 kinds, got 0"),
        ([1] * 101, "must have 1 to 100 kinds, got 101"),
        ([1, 0], "weights must be numbers above 0, got 0"),
        ([1, -2], "got -2"),
        ([True, 1], "got True"),
        (["1", 2], "got '1'"),
        ([float("nan")], "got nan"),
        ([float("inf"), 1], "got inf"),
        ([1, MAX_LENGTH], f"a sum up to {MAX_LENGTH:,}, got a sum of {MAX_LENGTH + 1:,}"),
    ],
)
def test_invalid_weights_are_refused(weights, why):
    with pytest.raises(ValueError, match=why):
        Mix(weights)


@given(WEIGHTS, st.integers(1, 3_000))
def test_the_users_of_a_kind_are_ranked(weights, count):
    mix, given_out = Mix(weights), [0] * len(weights)
    for user_id in range(1, count + 1):
        kind = mix.kind_of(user_id)
        given_out[kind] += 1
        assert mix.rank_of(user_id) == given_out[kind]
