"""Seeded simulations: similar runs rarely test as different, and real differences are found."""

from __future__ import annotations

import random
from dataclasses import replace
from itertools import accumulate, pairwise

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from amoc.metrics.histogram import Histogram
from amoc.results.compare import noise, quantile_test
from amoc.results.series import Point


def rate(values) -> noise.Estimate | None:
    """The estimated rate of a counter with these increments."""
    points = [
        Point(t_s=n + 1.0, span_s=1.0, counters={"sent": value}) for n, value in enumerate(values)
    ]
    return noise.rate(steady(points), lambda tally: tally.counters["sent"])


LEVEL = ("gauges", "g", "mean")


def steady(points) -> noise.SteadyState:
    return noise.SteadyState.of(points)


def mean(values) -> noise.Estimate | None:
    """The estimated mean of a gauge with these values per second."""
    points = [Point(t_s=n + 1.0, span_s=1.0, gauges={"g": one}) for n, one in enumerate(values)]
    return noise.mean(steady(points), LEVEL)


def percentiles(points, fractions, timer="ttd") -> list[quantile_test.Percentile | None]:
    return quantile_test.percentiles(steady(points), timer, fractions)


def drifting(draw: random.Random, seconds: int, memory: float) -> list[float]:
    """Autocorrelated counts around 100."""
    apart, values = draw.gauss(0, 10), []
    for _ in range(seconds):
        apart = memory * apart + draw.gauss(0, 10 * (1 - memory**2) ** 0.5)
        values.append(100 + apart)
    return values


def timed(draw: random.Random, seconds: int, each: int, slower: float = 1.0) -> list[Point]:
    return [
        Point(
            t_s=n + 1.0,
            span_s=1.0,
            timers={
                "ttd": Histogram.of(
                    int(1e7 * slower * draw.lognormvariate(0, 0.5)) for _ in range(each)
                )
            },
        )
        for n in range(seconds)
    ]


@pytest.mark.once
@pytest.mark.slow
@pytest.mark.parametrize(("seconds", "memory"), [(15, 0.0), (30, 0.5), (120, 0.8), (300, 0.9)])
def test_about_one_percent_of_similar_runs_test_as_different(seconds, memory):
    draw, pairs = random.Random(5), 400
    found = [rate(drifting(draw, seconds, memory)) for _ in range(pairs + 1)]
    wrong = sum(one.p_value(other) < noise.SIGNIFICANCE for one, other in pairwise(found))
    assert wrong <= 0.02 * pairs


@pytest.mark.slow
def test_percentiles_of_similar_runs_rarely_differ_for_any_number_of_durations():
    draw, pairs, wrong = random.Random(6), 60, 0
    for _ in range(pairs):
        first = percentiles(timed(draw, 30, 40), [0.5, 0.95])
        second = percentiles(timed(draw, 30, 160), [0.5, 0.95])
        for one, other in zip(first, second, strict=True):
            wrong += one.p_value(other) < noise.SIGNIFICANCE
    assert wrong <= 0.03 * 2 * pairs


@pytest.mark.slow
def test_a_target_that_is_a_fifth_slower_is_found():
    draw, pairs, found = random.Random(7), 40, 0
    for _ in range(pairs):
        first = percentiles(timed(draw, 60, 50), [0.5, 0.95])
        second = percentiles(timed(draw, 60, 50, slower=1.2), [0.5, 0.95])
        found += all(
            one.p_value(other) < noise.SIGNIFICANCE
            for one, other in zip(first, second, strict=True)
        )
    assert found >= 0.95 * pairs


def test_a_second_of_a_stall_does_not_make_a_run_differ():
    steady = [100 + second % 3 for second in range(60)]
    stalled = [0 if second == 30 else count for second, count in enumerate(steady)]
    first, second = rate(steady), rate(stalled)
    assert first.p_value(second) > noise.SIGNIFICANCE


def test_a_stall_does_not_hide_a_general_slowdown():
    draw = random.Random(8)
    stalled = timed(draw, 60, 50, slower=1.2)
    for second in (20, 21, 22):
        stalled[second] = replace(
            stalled[second], timers={"ttd": Histogram.of([2_000_000_000] * 3)}
        )
    usual = percentiles(timed(draw, 60, 50), [0.5, 0.95])
    slower = percentiles(stalled, [0.5, 0.95])
    for one, other in zip(usual, slower, strict=True):
        assert one.p_value(other) < noise.SIGNIFICANCE / 100


def test_the_error_of_a_mean_comes_from_its_blocks():
    found = noise.estimate(2.0, [1.0, 3.0] * 8, 0.1)  # no autocorrelation
    assert found == noise.Estimate(2.0, pytest.approx((1 / 15) ** 0.5), 15.0, 0.1)


@pytest.mark.parametrize("seconds", [0, 1, 9])
def test_too_few_seconds_give_no_estimate(seconds):
    assert rate([5] * seconds) is None
    assert mean([5.0] * seconds) is None


def test_too_few_durations_give_no_estimate_of_the_tail():
    points = timed(random.Random(1), 60, 5)  # 300: 3 of them are beyond the 99th percentile
    p50, p99 = percentiles(points, [0.5, 0.99])
    assert p50 is not None
    assert p99 is None
    assert percentiles(points, [0.5], "unknown") == [None]


def test_differences_below_the_resolution_are_never_significant():
    same = Histogram.of([1_000_000] * 100)
    next_cell = Histogram.of([1_005_000] * 100)
    assert same.cells.keys() != next_cell.cells.keys()
    runs = [
        [Point(t_s=n + 1.0, span_s=1.0, timers={"ttd": one}) for n in range(30)]
        for one in (same, next_cell)
    ]
    first, second = (percentiles(run, [0.5])[0] for run in runs)
    assert first.value != second.value
    assert first.p_value(second) == 1.0
    one_more = [100] * 29 + [101]
    counts = [rate(one) for one in ([100] * 30, one_more)]
    assert counts[0].p_value(counts[1]) == 1.0


def test_different_constants_are_significantly_different():
    first, second = (rate([count] * 30) for count in (100, 110))
    assert first.p_value(second) == 0.0


def test_unknown_values_are_left_out_of_levels():
    points = [Point(t_s=n + 1.0, span_s=1.0, gauges={"g": 5.0} if n % 2 else {}) for n in range(40)]
    found = noise.mean(steady(points), LEVEL)
    assert (found.value, found.error) == (5.0, 0.0)


def test_constant_levels_are_equal_for_any_number_of_seconds():
    # Sums have rounding errors that differ between Python versions.
    levels = ((44, 0.1 + 0.2), (47, 0.3))
    long, short = (mean([value] * count) for count, value in levels)
    assert long.value != short.value
    assert long.p_value(short) == 1.0


@pytest.mark.parametrize(
    ("t", "freedom", "both_tails"),
    # Values from a table of Student's t.
    [(12.706, 1, 0.05), (4.303, 2, 0.05), (2.228, 10, 0.05), (3.169, 10, 0.01), (2.678, 50, 0.01)],
)
def test_the_tails_of_students_t_match_published_tables(t, freedom, both_tails):
    assert noise.two_sided_p(t, freedom) == pytest.approx(both_tails, rel=0.002)
    assert noise.two_sided_p(-t, freedom) == noise.two_sided_p(t, freedom)


@given(st.floats(1e-9, 0.9), st.floats(1, 60))
def test_the_critical_t_has_tails_of_the_given_level(level, freedom):
    t = noise.critical_t(level, freedom)
    assert noise.two_sided_p(t, freedom) == pytest.approx(level, rel=1e-6)


@given(st.floats(0, 10), st.floats(0, 10), st.floats(-30, 30), st.floats(1e-6, 0.1))
def test_exceeding_the_critical_difference_equals_a_p_value_below_the_level(
    first, second, value, level
):
    one = noise.Estimate(0.0, round(first, 3), 5.0, 0.5)
    other = noise.Estimate(value, round(second, 3), 9.0, 0.1)
    reach = one.critical_difference(other, level)
    assume(abs(abs(value) - reach) > 1e-6)
    assert (abs(value) > reach) is (one.p_value(other) < level)


def test_the_tails_at_zero_have_probability_one():
    assert noise.two_sided_p(0.0, 7.3) == pytest.approx(1.0)


def test_autocorrelation_is_estimated_from_neighbouring_values():
    draw = random.Random(2)
    independent = [draw.gauss(0, 1) for _ in range(30)]
    walk = [sum(independent[: n + 1]) for n in range(30)]
    assert noise.autocorrelation(independent) < 0.4 < noise.autocorrelation(walk) < 1
    assert noise.autocorrelation([1.0, -1.0] * 10) == 0.0
    assert noise.autocorrelation([3.0] * 10) == 0.0


def test_holms_correction_requires_smaller_p_values_for_more_comparisons():
    assert noise.holm([0.009]) == [True]
    assert noise.holm([0.009] + [0.5] * 9) == [False] * 10
    assert noise.holm([0.5, 0.0001, 0.02, 0.004]) == [False, True, False, False]
    assert noise.holm([0.003, 0.0001, 0.5]) == [True, True, False]
    assert noise.holm([]) == []


@given(st.lists(st.floats(0, 1), max_size=30))
def test_holms_correction_accepts_the_smallest_p_values_in_any_order(chances):
    held = noise.holm(chances)
    yes = [one for one, ok in zip(chances, held, strict=True) if ok]
    no = [one for one, ok in zip(chances, held, strict=True) if not ok]
    assert not yes or not no or max(yes) <= min(no)
    assert all(one <= noise.SIGNIFICANCE for one in yes)


@given(st.lists(st.floats(0.1, 3), min_size=10, max_size=200))
def test_blocks_hold_each_point_once_and_in_order(spans):
    ends = [*accumulate(spans)]
    blocks = steady([Point(end, span) for end, span in zip(ends, spans, strict=True)]).blocks
    assert sum(block.points for block in blocks) == len(spans)
    assert [ends.index(block.first.t_s) for block in blocks] == [
        *accumulate((block.points for block in blocks[:-1]), initial=0)
    ]
    assert all(block.points for block in blocks)
    assert len(blocks) <= noise.MAX_BLOCKS
