"""Histograms: values read are within the promised error, whatever the order of merging."""

from __future__ import annotations

from fractions import Fraction
from math import ceil

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from amoc import metrics
from amoc.metrics import registry
from amoc.metrics.area import Area, Kind
from amoc.metrics.histogram import CELLS, LAST_CELL, ROWS, Histogram, cell_of, middle_ns

US_NS = 1_000
HOUR_NS = 3_600 * 10**9
SHOWN = (0.5, 0.9, 0.95, 0.99, 0.999)

durations = st.integers(US_NS, HOUR_NS)
# Durations in a run cluster; uniformly drawn integers rarely do.
lifelike = st.one_of(
    durations, st.integers(0, 41).map(lambda power: 1 << power), st.integers(0, 5000)
)


def nearest_rank(ordered: list[int], fraction: float) -> int:
    # Use the fraction as written: 0.07 of 100 is the 7th, not the 8th.
    return ordered[max(1, ceil(Fraction(str(fraction)) * len(ordered))) - 1]


@given(st.lists(durations, min_size=1, max_size=300), st.sampled_from([0.0, *SHOWN, 1.0]))
def test_a_quantile_is_within_one_percent_of_the_exact_one(values, fraction):
    (found_s,) = Histogram.of(values).quantiles_s(fraction)
    exact_s = nearest_rank(sorted(values), fraction) / 1e9
    assert found_s == pytest.approx(exact_s, rel=0.01)


@given(st.integers(1, 3000), st.sampled_from(SHOWN))
@example(100, 0.07)
@example(100, 0.55)
@example(1000, 0.999)
def test_a_quantile_takes_the_nearest_rank_for_every_count(count, fraction):
    # Below 256 ns a cell is one value wide, so these histograms are exact.
    values = [rank * 250 // count for rank in range(count)]
    (found_s,) = Histogram.of(values).quantiles_s(fraction)
    assert round(found_s * 1e9) == nearest_rank(values, fraction)


@given(st.lists(lifelike, min_size=1))
def test_count_mean_and_maximum_match_the_values(values):
    histogram = Histogram.of(values)
    assert histogram.count == len(values)
    assert histogram.max_ns == max(values)
    assert histogram.mean_s == pytest.approx(sum(values) / len(values) / 1e9, rel=0.005, abs=1e-9)


@given(st.lists(lifelike, min_size=1), st.lists(st.floats(0, 1), min_size=2, max_size=6))
def test_quantiles_rise_with_the_fraction_and_never_exceed_the_maximum(values, fractions):
    found = Histogram.of(values).quantiles_s(*sorted(fractions))
    assert found == sorted(found)
    assert found[-1] <= max(values) / 1e9


@given(st.lists(lifelike, min_size=1), st.permutations([0.99, 0.5, 0.5, 0.1]))
def test_quantiles_are_returned_in_the_requested_order(values, fractions):
    histogram = Histogram.of(values)
    assert histogram.quantiles_s(*fractions) == [histogram.quantiles_s(one)[0] for one in fractions]


@given(st.lists(st.lists(lifelike), min_size=1, max_size=6), st.randoms(use_true_random=False))
def test_the_order_of_merging_does_not_matter(parts, random):
    whole = Histogram.of([ns for part in parts for ns in part])
    random.shuffle(parts)
    merged = Histogram()
    for part in parts:
        one = Histogram.of(part)
        merged.add(one.cells, one.max_ns)
    assert merged == whole


def test_an_empty_histogram_is_all_zeros():
    empty = Histogram()
    assert (empty.count, empty.mean_s, empty.quantiles_s(0.5, 1.0)) == (0, 0.0, [0.0, 0.0])


@given(st.integers(0, 2 * HOUR_NS), st.integers(0, 2 * HOUR_NS))
def test_a_longer_duration_never_maps_to_an_earlier_cell(one, other):
    short, long = sorted((one, other))
    assert 0 <= cell_of(short) <= cell_of(long) <= LAST_CELL


def test_each_cells_middle_maps_back_to_it_and_middles_rise():
    middles = [middle_ns(cell) for cell in range(CELLS)]
    assert [cell_of(int(middle)) for middle in middles] == list(range(CELLS))
    assert middles == sorted(set(middles))


def test_one_hour_is_below_the_last_cell_and_longer_durations_are_not_lost():
    assert cell_of(HOUR_NS) < LAST_CELL
    histogram = Histogram.of([HOUR_NS * 1000])
    assert histogram.count == 1
    assert histogram.max_ns == HOUR_NS * 1000


def test_a_negative_duration_counts_as_zero():
    assert cell_of(-1) == cell_of(0) == 0


@given(st.lists(st.integers(-(2**20), 2**62), max_size=50))
def test_a_timer_records_into_the_cells_that_the_histogram_reads(values):
    area = Area(memoryview(_MEMORY))
    area.declare(Kind.TIMER, "round_trip")[:] = _ZEROS
    with registry.Registry(area).activated():
        timer = metrics.timer("round_trip")
        for ns in values:
            timer.record_ns(ns)
    read = {metric.name: metric.value for metric in area.read()}["round_trip"]
    assert read == Histogram.of([max(0, ns) for ns in values])


_MEMORY = bytearray(20 << 20)
_ZEROS = memoryview(bytes((CELLS + 1 + ROWS) * 8)).cast("Q")
