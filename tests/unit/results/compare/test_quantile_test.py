"""Simulations: percentiles of similar runs with bimodal durations rarely test as different."""

from __future__ import annotations

import random
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from amoc.metrics.histogram import Histogram
from amoc.results.compare import noise, quantile_test
from amoc.results.series import Point

FAST_NS, SLOW_NS = 5_000_000, 200_000_000


def known(seconds, fraction) -> quantile_test.Percentile | None:
    """A percentile of a run with these durations per second, in ns."""
    points = [
        Point(t_s=n + 1.0, span_s=1.0, timers={"t": Histogram.of(some)})
        for n, some in enumerate(seconds)
    ]
    steady = noise.SteadyState.of(points)
    return quantile_test.percentiles(steady, "t", [fraction])[0]


def of_two_kinds(
    draw, share, fraction, fast_ns=FAST_NS, spread=0.1
) -> quantile_test.Percentile | None:
    """60 s with 50 durations each, a `share` of them slow."""

    def one() -> int:
        middle_ns = SLOW_NS if draw.random() < share else fast_ns
        return int(middle_ns * draw.lognormvariate(0, spread))

    return known([[one() for _ in range(50)] for _ in range(60)], fraction)


@pytest.mark.once
@pytest.mark.slow
@pytest.mark.parametrize(
    ("share", "fraction", "spread"), [(0.01, 0.99, 0.1), (0.05, 0.95, 0.1), (0.01, 0.99, 0.0)]
)
def test_a_percentile_between_two_modes_rarely_tests_as_different(share, fraction, spread):
    draw, pairs = random.Random(3), 100
    found = [of_two_kinds(draw, share, fraction, spread=spread) for _ in range(pairs + 1)]
    wrong = sum(one.p_value(other) < noise.SIGNIFICANCE for one, other in pairwise(found))
    assert wrong <= 0.03 * pairs


@pytest.mark.slow
def test_more_or_longer_slow_durations_are_detected_beyond_a_rare_slow_mode():
    draw, found = random.Random(4), 0
    for _ in range(20):
        usual = of_two_kinds(draw, 0.01, 0.99)
        found += usual.p_value(of_two_kinds(draw, 0.05, 0.99)) < noise.SIGNIFICANCE
        usual = of_two_kinds(draw, 0.01, 0.5)
        slower = of_two_kinds(draw, 0.01, 0.5, fast_ns=6_000_000)
        found += usual.p_value(slower) < noise.SIGNIFICANCE / 50
    assert found >= 0.95 * 40


def test_the_noise_next_to_a_gap_spans_the_gap():
    draw = random.Random(5)
    one, other = (of_two_kinds(draw, 0.01, 0.99) for _ in range(2))
    assert one.critical_difference(other, noise.SIGNIFICANCE) > (SLOW_NS - FAST_NS) / 2e9


@pytest.mark.parametrize("fraction", [0.5, 0.99])
def test_two_different_constant_durations_differ_significantly(fraction):
    one, other = (known([[ns] * 50] * 30, fraction) for ns in (5_000_000, 5_500_000))
    assert one.p_value(other) == 0.0
    assert one.critical_difference(other, noise.SIGNIFICANCE) < 0.0005


def test_different_deadlines_are_detected_even_if_equally_often_exceeded():
    """The shares differ only for durations between the two."""
    draw = random.Random(6)
    seconds = [[int(1e7 * draw.lognormvariate(0, 0.2)) for _ in range(98)] for _ in range(30)]
    one, other = (known([[*some, ns, ns] for some in seconds], 0.99) for ns in (10**9, 2 * 10**9))
    assert one.p_value(other) < noise.SIGNIFICANCE / 100


def test_between_two_percentiles_the_least_significant_duration_counts():
    """One run was fast half of the time, so its share is uncertain; it was never slow."""
    fast, usual, slow = 5_000_000, 20_000_000, 80_000_000
    one = known([[fast] * 10] * 15 + [[fast] * 2 + [usual] * 8] * 15, 0.5)
    other = known([[usual] * 4 + [slow] * 6] * 30, 0.5)
    assert one.value < usual / 1e9 < other.value
    assert 0.05 < one.p_value(other) < 1.0
    assert one.critical_difference(other, noise.SIGNIFICANCE) >= other.value - one.value


_SECONDS = st.lists(
    st.lists(
        st.sampled_from([3_000_000, 3_100_000, 3_200_000, 90_000_000]), min_size=2, max_size=9
    ),
    min_size=10,
    max_size=20,
)


@pytest.mark.slow
@given(_SECONDS, _SECONDS, st.floats(1e-6, 0.1))
def test_exceeding_the_critical_difference_equals_a_p_value_below_the_level(first, second, level):
    one, other = known(first, 0.5), known(second, 0.5)
    apart = abs(one.value - other.value)
    assert (apart > one.critical_difference(other, level)) is (one.p_value(other) < level)
    assert one.p_value(other) == other.p_value(one)
