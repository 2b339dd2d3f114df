"""Points add up, and survive a round trip through JSON."""

from __future__ import annotations

import json
from math import inf, isnan

import pytest
from hypothesis import given
from hypothesis import strategies as st

from amoc.metrics.histogram import Histogram
from amoc.results.series import Point, Tally, ThrottlePoint
from tests.unit.results import runs


def test_a_point_round_trips_through_json():
    for point in runs.points(30):
        assert Point.from_json(json.loads(json.dumps(point.to_json(), allow_nan=False))) == point


def test_a_non_finite_gauge_is_read_back_as_nan():
    point = Point(t_s=1.0, span_s=1.0, gauges={"load": inf})
    assert isnan(Point.from_json(json.loads(json.dumps(point.to_json()))).gauges["load"])


def test_fields_of_a_newer_amoc_are_ignored():
    line = {"t_s": 1.0, "span_s": 1.0, "new": 1, "workers": [{"node": "n", "worker": 0, "new": 2}]}
    assert Point.from_json(line).workers[0].worker == 0


def test_fields_of_an_older_amoc_are_read_by_their_old_names():
    line = {"t_s": 1.0, "span_s": 1.0, "workers": [{"node": "n", "slot": 3, "epoch": 2}]}
    (worker,) = Point.from_json(line).workers
    assert (worker.worker, worker.incarnation) == (3, 2)


@pytest.mark.parametrize(
    "line", [{}, {"t_s": 1.0}, {"t_s": 1.0, "span_s": 1.0, "timers": {"a": {"cells": [1]}}}]
)
def test_invalid_points_are_rejected(line):
    with pytest.raises(ValueError, match="not a point of a series"):
        Point.from_json(line)


@given(st.lists(st.lists(st.integers(0, 10**13), max_size=20), max_size=6), st.data())
def test_the_sum_of_points_does_not_depend_on_how_they_are_grouped(durations, data):
    points = [
        Point(
            t_s=float(number + 1),
            span_s=1.0,
            counters={"a": len(some)},
            timers={"t": Histogram.of(some)} if some else {},
            throttles={"x": ThrottlePoint(executions=len(some))},
        )
        for number, some in enumerate(durations)
    ]
    cut = data.draw(st.integers(0, len(points)))
    first, rest, whole = Tally.of(points[:cut]), Tally.of(points[cut:]), Tally.of(points)
    every = [ns for some in durations for ns in some]
    assert first.counters.get("a", 0) + rest.counters.get("a", 0) == len(every)
    merged = first.timers.get("t", Histogram())
    other = rest.timers.get("t", Histogram())
    merged.add(other.cells, other.max_ns)
    assert merged == whole.timers.get("t", Histogram()) == Histogram.of(every)


@pytest.mark.parametrize(
    ("throttle", "wanted"),
    [
        (ThrottlePoint(rate=600.0, interval_s=60.0, mode="run"), 10.0),
        (ThrottlePoint(rate=600.0, interval_s=60.0, mode="paused"), 0.0),
        (ThrottlePoint(rate=None, interval_s=60.0, mode="open"), None),
        (ThrottlePoint(rate=5.0, interval_s=0.0, mode="run"), None),
    ],
)
def test_a_throttles_target_rate_follows_its_configuration(throttle, wanted):
    assert throttle.wanted_per_s == wanted


def test_an_absent_counter_has_rate_0_and_a_paused_run_has_no_rate():
    tally = Tally.of([Point(t_s=1.0, span_s=1.0, counters={"n": 4})])
    assert (tally.counter_per_s("n"), tally.counter_per_s("other")) == (4.0, 0.0)
    assert Tally.of([Point(t_s=1.0, span_s=1.0, state="paused")]).counter_per_s("n") is None


def test_seconds_of_earlier_versions_have_the_target_rate_at_their_end():
    made = Point(t_s=2.0, span_s=1.0, active_s=0.5, throttles={"a": ThrottlePoint(60, 60.0, "run")})
    line = made.to_json()
    assert Point.from_json(line).throttles["a"].wanted is None
    del line["throttles"]["a"]["wanted"]
    assert Point.from_json(line).throttles["a"].wanted == 0.5
