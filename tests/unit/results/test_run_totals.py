"""Totals of a run's points: of all, and of those after the warm-up."""

from __future__ import annotations

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from amoc.metrics.area import Kind
from amoc.metrics.health_figures import WorkerPoint
from amoc.metrics.histogram import MAX_NS, Histogram
from amoc.metrics.step_names import AGGREGATED, COUNT, FAILURES
from amoc.results.counts import throttle
from amoc.results.run_totals import RunTotals
from amoc.results.series import Point, Tally, ThrottlePoint
from amoc.results.warm_up import WarmUp
from tests.unit.results import runs

MADE = runs.points(67, stall=range(20, 22))


def in_states(states: list[str]) -> list[Point]:
    return [
        replace(point, state=state, active_s=1.0 if state == "running" else 0.0)
        for point, state in zip(MADE, states, strict=False)
    ]


@pytest.mark.slow
@given(
    st.lists(st.sampled_from(["running", "running", "paused", "stopping"]), max_size=len(MADE)),
    st.sampled_from([0.0, 3.0, 3.5, 1000.0]),
)
def test_whole_and_window_are_the_sums_of_their_points(states, warmup_s):
    points = in_states(states)
    totals = RunTotals.of(points, warmup_s)
    ran_s = [sum(one.active_s for one in points[:at]) for at in range(len(points))]
    assert totals.whole == Tally.of(points)
    assert totals.window == Tally.of(
        point for point, before_s in zip(points, ran_s, strict=True) if before_s >= warmup_s
    )


@given(st.lists(st.integers(0, 30), max_size=4), st.data())
def test_merged_sums_are_the_sum_of_all_points(lengths, data):
    states = data.draw(
        st.lists(st.sampled_from(["running", "paused"]), min_size=len(MADE), max_size=len(MADE))
    )
    points, at, whole = in_states(states), 0, Tally()
    for length in lengths:
        part = Tally.of(points[at : at + length])
        kept = Tally.of(points[at : at + length])
        whole.merge(part)
        assert part == kept
        at += length
    assert whole == Tally.of(points[:at])


def test_a_rate_covers_only_the_time_in_which_the_run_was_running():
    def point(t_s, state, active_s, count):
        throttles = {"x": ThrottlePoint(executions=2 * count)}
        return Point(t_s, 1.0, active_s, 0.0, state, counters={"n": count}, throttles=throttles)

    tally = Tally.of(
        [
            point(1.0, "running", 1.0, 20),
            point(2.0, "paused", 0.5, 10),
            point(3.0, "paused", 0.0, 3),
            point(4.0, "running", 0.5, 10),
            point(5.0, "stopping", 0.0, 7),
        ]
    )
    assert tally.counters == {"n": 50}
    assert tally.counter_per_s("n") == 20.0
    assert tally.per_second(throttle("x", "executions")) == 40.0
    assert tally.counter_per_s("never") == 0.0


def test_a_run_that_never_reached_running_has_no_rate():
    assert Tally().counter_per_s("n") is None
    assert Tally.of([Point(1.0, 1.0, state="paused", counters={"n": 3})]).counter_per_s("n") is None


def test_metric_kinds_include_metrics_seen_only_in_the_warm_up():
    points = [replace(MADE[0], counters={"early": 0}), *MADE[1:20]]
    known = RunTotals.of(points, 10.0).known
    assert (known["early"], known["connected"]) == (Kind.COUNTER, Kind.GAUGE)
    assert known["message_ttd"] is Kind.TIMER


@pytest.mark.parametrize(
    ("spans_s", "starts", "peak"),
    [
        ((1.0, 2.0, 0.1, 1.0), (100, 400, 400, 0), 363.6),  # 0.1 s alone says little about a second
        ((1.0, 1.0), (5, 3), 5.0),
        ((0.4,), (2,), 5.0),  # too short to tell: the mean
        ((), (), 0.0),
    ],
)
def test_the_peak_start_rate_covers_at_least_half_a_second(spans_s, starts, peak):
    points = [
        Point(sum(spans_s[: at + 1]), span_s, starts=count)
        for at, (span_s, count) in enumerate(zip(spans_s, starts, strict=True))
    ]
    assert RunTotals.of(points).starts_per_s_peak == pytest.approx(peak, abs=0.1)


def test_the_peak_start_rate_includes_the_warm_up():
    points = [Point(float(at), 1.0, starts=count) for at, count in ((1, 3), (2, 70), (3, 5))]
    assert RunTotals.of(points, 2.5).starts_per_s_peak == 70.0


def test_workers_show_their_last_state_with_totals_of_all_incarnations():
    first = WorkerPoint("node0", 0, users=9, users_peak=9, cpu_s=1.5, max_rss_bytes=7)
    later = WorkerPoint("node0", 0, 3, users=2, users_peak=9, cpu_s=1.75, max_rss_bytes=7)
    points = [Point(1.0, 1.0, workers=[first]), Point(2.0, 1.0, workers=[later])]
    points.append(Point(3.0, 1.0, workers=[WorkerPoint("node1", 0)], late=["node0"]))
    assert RunTotals.of(points).workers["node0", 0] == later


def test_a_series_without_totals_is_summed_over_all_incarnations():
    """As in earlier versions: each second has its own values and no running totals."""
    made = [
        WorkerPoint("node0", 0, 1, users=5, cpu=0.5, rss_bytes=70, lag_p99_s=0.25),
        WorkerPoint("node0", 0, 1, users=9, cpu=1.0, rss_bytes=90, lag_p99_s=0.125),
        WorkerPoint("node0", 0, 2, users=2, cpu=0.25, rss_bytes=20, lag_p99_s=0.0625),
    ]
    points = [
        Point(at, span_s, workers=[one])
        for at, span_s, one in zip((1.0, 3.0, 4.0), (1.0, 2.0, 1.0), made, strict=True)
    ]
    worker = RunTotals.of(points).workers["node0", 0]
    assert (worker.incarnation, worker.users) == (2, 2)
    assert (worker.users_peak, worker.max_rss_bytes) == (9, 90)
    assert worker.cpu_s == 0.5 * 1 + 1.0 * 2 + 0.25 * 1
    assert worker.loop_lag_p99_s == 0.25


def test_loop_lag_p99_of_the_run_is_the_workers_own_and_not_the_worst_second():
    made = [
        WorkerPoint("node0", 0, lag_p99_s=lag_s, loop_lag_p99_s=all_s)
        for lag_s, all_s in ((0.5, 0.5), (0.001, 0.002))
    ]
    points = [Point(at, 1.0, workers=[one]) for at, one in enumerate(made, 1)]
    assert RunTotals.of(points).workers["node0", 0].loop_lag_p99_s == 0.002


def test_durations_too_long_for_the_histograms_resolution_are_noted():
    timers = {"long": Histogram.of([5, MAX_NS + 1]), "just_known": Histogram.of([MAX_NS])}
    (note,) = RunTotals.of([Point(1.0, 1.0, timers=timers)]).notes()
    assert note == (
        "timer long has durations above 73 min, which count as 73 min in its mean and percentiles;"
        " its maximum is exact"
    )


@pytest.mark.parametrize("warmup_s", [0.0, 9.5, 20.0, 99.0])
def test_adding_points_together_or_one_by_one_gives_the_same_totals(warmup_s):
    points = runs.points(30)
    one_by_one = RunTotals(WarmUp(warmup_s))
    for point in points:
        one_by_one.add(point)
    together = RunTotals.of(points, warmup_s)
    assert together.whole == one_by_one.whole
    assert together.whole.timers["message_ttd"].count > 0
    assert together.window == one_by_one.window


@pytest.mark.parametrize(
    ("counters", "crashes", "told"),
    [
        ({}, {"ValueError": 3}, "no iteration succeeded: 3 iterations crashed"),
        ({"iterations": 1}, {"ValueError": 300}, ""),
        ({"iterations": 5}, {}, ""),
        ({}, {}, ""),
        (
            {"iterations": 5, "connection_failures": 2, "connections": 0},
            {},
            "no connection was established: 2 attempts failed",
        ),
        ({"iterations": 5, "connection_failures": 200, "connections": 1}, {}, ""),
        (
            {"iterations": 5, "Aggregated.count": 3, "Aggregated.failures": 3},
            {},
            "no request succeeded: 3 requests failed",
        ),
        ({"iterations": 5, "Aggregated.count": 3, "Aggregated.failures": 2}, {}, ""),
    ],
)
def test_a_run_is_futile_when_every_iteration_or_connection_failed(counters, crashes, told):
    point = Point(t_s=1.0, span_s=1.0, at=1e9, counters=counters, crashes=crashes)
    assert RunTotals.of([point]).futile() == told


def test_requests_that_succeeded_in_failed_steps_are_not_called_failed():
    counts = {"buy": (3, 3), "POST /cart": (3, 0), AGGREGATED: (3, 3)}
    counters = {"iterations": 3}
    for name, (count, failures) in counts.items():
        counters |= {name + COUNT: count, name + FAILURES: failures}
    timers = {name: Histogram() for name in counts}
    point = Point(t_s=1.0, span_s=1.0, at=1e9, counters=counters, timers=timers)
    told = "every request or the step around it failed: 3 requests"
    assert RunTotals.of([point]).futile() == told


@pytest.mark.parametrize("warmup_s", [0.0, 3.0])
def test_requests_beyond_the_limit_of_names_yield_one_warning_and_a_note(warmup_s: float) -> None:
    totals = RunTotals(WarmUp(warmup_s))
    said = []
    for point, beyond in zip(MADE, (0, 0, 7, 0, 1), strict=False):
        counted = {**point.counters, "http.names_beyond": beyond}
        said.append(totals.add(replace(point, counters=counted)))
    [warning] = said.pop(2)
    assert warning.startswith("further requests count as 'other', because a worker records at most")
    assert said == [[]] * 4
    [note] = (one for one in totals.notes() if "other" in one)
    assert note.startswith("8 requests counted as 'other', because a worker records at most 1,000")
    assert not any("other" in one for one in RunTotals.of(MADE).notes())
