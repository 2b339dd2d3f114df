"""Downsampling points to rows: nothing is lost or counted twice, and gaps stay gaps."""

from __future__ import annotations

from dataclasses import replace
from itertools import pairwise
from math import ceil

import pytest
from hypothesis import given
from hypothesis import strategies as st

from amoc.results.report import columns, over_time, run_annotations
from amoc.results.report.charted import Names
from amoc.results.report.downsample import MAX_LATE, buckets, downsample
from amoc.results.series import Point, Tally
from tests.unit.results import runs

STATES = st.sampled_from(["running", "running", "running", "paused", "stopping"])


def second(t: int, **fields) -> Point:
    return Point(t_s=float(t), span_s=1.0, **fields)


@st.composite
def series(draw) -> list[Point]:
    """Seconds of a run, some of them missing, paused or late."""
    points, t = [], 0
    for _ in range(draw(st.integers(0, 60))):
        t += draw(st.sampled_from([1, 1, 1, 1, 4]))
        late = draw(st.sampled_from([(), (), (), ("node1",)]))
        sent = draw(st.integers(0, 50))
        points.append(second(t, state=draw(STATES), late=late, counters={"sent": sent}))
    return points


@pytest.mark.slow
@given(series(), st.integers(1, 80))
def test_rows_hold_each_point_once_and_in_order(points, most):
    rows = list(buckets(points, ceil(len(points) / most)))
    held = [point for row in rows for point in row.points]
    assert held == points
    assert [row.t_s for row in rows] == sorted(row.t_s for row in rows)


@pytest.mark.slow
@given(series(), st.integers(1, 80))
def test_a_row_never_spans_a_pause_or_a_gap(points, most):
    for row in buckets(points, ceil(len(points) / most)):
        active = {point.state != "paused" for point in row.points if not point.late}
        assert len(active) <= 1
        for before, after in pairwise(row.points):
            assert after.begin_s == before.t_s or before.late


@pytest.mark.slow
@given(st.integers(1, 1200), st.integers(1, 400))
def test_there_are_no_more_rows_than_requested(seconds, most):
    rows = downsample([second(t) for t in range(1, seconds + 1)], most)
    assert len(rows) <= most
    assert sum(row.seconds for row in rows) == seconds


def test_percentiles_of_a_row_come_from_its_merged_durations():
    points = runs.points(40, stall=range(11, 13))
    rows = downsample(points, 2, ["message_ttd"])
    assert len(rows) == 2
    p50, p99, longest = columns.quantiles(rows, "message_ttd", 0.5, 0.99)
    whole = Tally.of(points[:20]).timers["message_ttd"]
    assert (p50[0], p99[0]) == tuple(map(columns.rounded, whole.quantiles_s(0.5, 0.99)))
    assert longest == [2, columns.rounded(Tally.of(points[20:]).timers["message_ttd"].max_ns / 1e9)]


def test_merged_rows_have_mean_rates_and_peak_levels():
    points = [
        second(t, counters={"sent": sent}, users={"running": users})
        for t, (sent, users) in enumerate([(10, 5), (30, 9), (0, 2), (4, 3)], 1)
    ]
    rows = downsample(points, 2)
    assert columns.rates(rows, lambda one: one.counters["sent"]) == [20, 2]
    assert columns.highest(rows, lambda one: one.users["running"]) == [9, 3]
    assert columns.latest(rows, lambda one: one.users["running"]) == [9, 3]


def test_the_peak_of_a_gauge_stays_in_the_chart_of_a_long_run():
    points = [second(t, gauges={"queue": 1000.0 if t == 4 else 1.0}) for t in range(1, 61)]
    [chart] = over_time.gauges(downsample(points, 10), Names(["queue"])).shown
    assert max(chart.lines[0].known) == 1000


def test_a_pause_and_a_gap_have_no_rate_rather_than_zero():
    points = [
        second(1, counters={"sent": 8}),
        second(2, state="paused"),
        second(3, counters={"sent": 7}),
        second(9, counters={"sent": 6}),
    ]
    rows = downsample(points)
    assert [row.t_s for row in rows] == [1, 2, 3, 8, 9]
    assert columns.rates(rows, lambda one: one.counters.get("sent", 0)) == [8, None, 7, None, 6]


def test_counts_of_a_late_node_are_spread_over_its_delay():
    points = [
        second(1, counters={"sent": 100}),
        second(2, late=["node1"], counters={"sent": 50}),
        second(3, late=["node1"], counters={"sent": 50}),
        second(4, counters={"sent": 200}),
    ]
    sent = columns.rates(downsample(points), lambda one: one.counters["sent"])
    assert sent == [100, None, None, 100]


def test_counts_are_not_lost_when_a_node_is_late_at_the_end():
    points = [
        second(t, late=["node1"] if t > 3 else [], counters={"sent": 10}) for t in range(1, 7)
    ]
    rows = downsample(points)
    assert [row.t_s for row in rows] == [1, 2, 3, 4, 5, 6]
    sent = columns.rates(rows, lambda one: one.counters["sent"])
    assert sent == [10, 10, 10, None, None, 10]
    assert rows[-1].seconds == 3


def test_a_node_that_stays_silent_does_not_hide_the_others():
    points = [second(t, late=["node1"], counters={"sent": 50}) for t in range(1, 41)]
    sent = columns.rates(downsample(points), lambda one: one.counters["sent"])
    assert sent[:MAX_LATE] == [None] * MAX_LATE
    assert sent[MAX_LATE:] == [50] * (40 - MAX_LATE)


def test_starts_are_derived_from_totals_even_across_a_gap():
    points = [
        second(t, users={"started": started}) for t, started in ((1, 10), (2, 30), (6, 40), (7, 40))
    ]
    started = columns.growth(downsample(points), lambda one: one.users["started"])
    assert started == [10, 20, None, 2.5, 0]


def test_a_falling_total_does_not_give_a_negative_rate():
    points = [
        second(1, users={"started": 5}),
        replace(second(2, users={"started": 4}), state="running"),
    ]
    assert columns.growth(downsample(points), lambda one: one.users["started"]) == [5, 0]


def test_a_short_last_second_does_not_look_like_a_high_rate():
    points = [
        second(1, counters={"sent": 100}),
        second(2, counters={"sent": 100}),
        replace(second(0), t_s=2.1, span_s=0.1, counters={"sent": 54}, state="stopping"),
    ]
    rows = downsample(points)
    assert [row.t_s for row in rows] == [1, 2.1]
    assert columns.rates(rows, lambda one: one.counters["sent"]) == [100, 140]


def test_a_node_that_left_before_the_end_is_not_late():
    points = [
        second(1, counters={"sent": 100}),
        replace(second(0), t_s=1.1, span_s=0.1, counters={"sent": 10}, late=["node0"]),
    ]
    assert columns.rates(downsample(points), lambda one: one.counters["sent"]) == [100]
    interruptions = run_annotations.Interruptions()
    for point in points:
        interruptions.add(point)
    assert run_annotations.bands(interruptions, 0.0) == []
