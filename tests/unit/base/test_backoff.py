"""Pauses between retries."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from amoc.base.backoff import backoff


@pytest.mark.parametrize(
    ("failures", "first", "most", "mean"),
    [
        (1, 1, 10, 1),
        (2, 1, 10, 2),
        (4, 1, 10, 8),
        (5, 1, 10, 10),
        (10**6, 1, 10, 10),
        (3, 30, 10, 30),
    ],
)
def test_the_mean_doubles_up_to_the_maximum(failures, first, most, mean):
    assert backoff(failures, first, most, 0.5) == mean


@given(st.integers(1, 10_000), st.floats(0, 100), st.floats(0, 100), st.floats(0, 1))
def test_pauses_are_bounded_and_spread(failures, first, most, share):
    mean = backoff(failures, first, most, 0.5)
    assert first <= mean <= max(first, most)
    assert mean / 2 <= backoff(failures, first, most, share) <= mean * 3 / 2


def test_simultaneous_failures_are_spread():
    assert [backoff(1, 2, 60, share) for share in (0, 1)] == [1, 3]
