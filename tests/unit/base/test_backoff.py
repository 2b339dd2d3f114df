"""Pauses before something that has failed is tried again."""

import pytest

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
def test_the_mean_doubles_up_to_the_most(failures, first, most, mean):
    assert backoff(failures, first, most, 0.5) == mean


def test_those_that_failed_together_are_spread():
    assert [backoff(1, 2, 60, share) for share in (0, 1)] == [1, 3]
