"""A row summarizes its points without changing their totals, peaks and durations."""

from __future__ import annotations

from dataclasses import replace
from math import nan

import pytest
from hypothesis import given
from hypothesis import strategies as st

from amoc.metrics.health_figures import NodePoint, WorkerPoint
from amoc.results.counts import samples
from amoc.results.report import columns
from amoc.results.report.rows import FRACTIONS, row_of
from amoc.results.series import Point, ThrottlePoint
from tests.unit.results import runs

SPANS = st.sampled_from([1.0, 1.0, 0.5, 2.0])
COUNTS, SHARES = st.integers(0, 100), st.sampled_from([0.0, 0.25, 0.5, 1.0])


@st.composite
def neighbours(draw) -> list[Point]:
    points, t_s = [], 0.0
    for _ in range(draw(st.integers(1, 8))):
        span_s = draw(SPANS)
        t_s += span_s
        points.append(
            Point(
                t_s,
                span_s,
                users={"running": draw(COUNTS)} if draw(st.booleans()) else {},
                starts=draw(COUNTS),
                counters={name: draw(COUNTS) for name in draw(st.sets(st.sampled_from("abc")))},
                gauges={"level": draw(st.sampled_from([nan, 1.0, -2.0]))},
                crashes={"KeyError": draw(COUNTS)},
                throttles={"pace": ThrottlePoint(60.0, 1.0, "run", *(draw(COUNTS),) * 4)},
                workers=[
                    WorkerPoint("node0", worker, cpu=draw(SHARES), gc_s=draw(SHARES) * span_s)
                    for worker in range(draw(st.integers(0, 2)))
                ],
                nodes=[NodePoint("node0", cpu=draw(SHARES))],
                controller_cpu=draw(SHARES),
                controller_lag_s=draw(SHARES),
            )
        )
    return points


@pytest.mark.slow
@given(neighbours())
def test_counts_are_summed_and_levels_keep_the_highest_and_the_last(points):
    row = row_of(points[-1].t_s, points, True)
    assert (row.seconds, row.span_s) == (len(points), sum(one.span_s for one in points))
    for name in "abc":
        counted = sum(one.counters.get(name, 0) for one in points)
        assert row.counted.counters.get(name, 0) == counted
    assert row.counted.crashes["KeyError"] == sum(one.crashes["KeyError"] for one in points)
    assert row.counted.starts == sum(one.starts for one in points)
    let_through = sum(one.throttles["pace"].executions for one in points)
    assert row.counted.throttles["pace"].executions == let_through
    running = [one.users["running"] for one in points if one.users]
    assert row.highest.users.get("running") == max(running, default=None)
    assert row.highest.throttles["pace"].waiting == max(
        one.throttles["pace"].waiting for one in points
    )
    known = [one.gauges["level"] for one in points if one.gauges["level"] == one.gauges["level"]]
    assert row.highest.gauges.get("level") == max(known, default=None)
    assert row.highest.nodes[0].cpu == max(one.nodes[0].cpu for one in points)
    assert row.highest.controller_lag_s == max(one.controller_lag_s for one in points)
    assert row.last.users == points[-1].users
    assert row.last.throttles == points[-1].throttles


@pytest.mark.slow
@given(neighbours())
def test_a_worker_keeps_its_worst_value_and_the_total_that_of_the_worst_second(points):
    row = row_of(points[-1].t_s, points, True)
    for worker in row.highest.workers:
        same = [(one, it) for it in points for one in it.workers if one.worker == worker.worker]
        assert worker.cpu == max(one.cpu for one, _ in same)
        assert worker.gc_s == pytest.approx(max(one.gc_s / it.span_s for one, it in same))
    busy = [sum(one.cpu for one in it.workers) for it in points if it.workers]
    assert row.workers_cpu == max(busy, default=None)


def test_durations_are_merged_over_all_points():
    points = runs.points(20, stall=range(5, 7))
    row = row_of(20.0, points, True, ["message_ttd", "unknown"])
    merged = samples(points, "message_ttd")
    assert row.durations == {"message_ttd": (*merged.quantiles_s(*FRACTIONS), merged.max_ns / 1e9)}
    assert columns.quantiles([row], "unknown", 0.99) == [[None], [None]]


def test_a_row_keeps_no_histogram():
    row = row_of(3.0, runs.points(3), True, ["message_ttd"])
    assert not any(point.timers for point in (row.counted, row.highest, row.last))


def test_a_gap_has_no_values():
    hole = row_of(7.0, [], True)
    assert (hole.t_s, hole.active, hole.seconds) == (7.0, False, 0)
    for column in (columns.rates, columns.highest, columns.latest, columns.growth):
        assert column([hole], lambda one: one.span_s) == [None]


def test_a_second_of_zero_length_has_no_rate():
    (point,) = runs.points(1)
    row = row_of(1.0, [replace(point, span_s=0.0)], True)
    assert columns.rates([row], lambda one: one.counters["messages_sent"]) == [None]
