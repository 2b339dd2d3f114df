"""Results of an arrival rate: dropped iterations are counted, and the note says why."""

from __future__ import annotations

import pytest

from amoc.metrics.area import Kind
from amoc.results.arrival_totals import ArrivalTotals, share, with_dropped
from amoc.results.run_totals import RunTotals
from amoc.results.series import Point, Tally, ThrottlePoint
from amoc.results.thresholds import threshold
from amoc.scenario.arrivals import ARRIVAL_RATE, Arrivals

KNOWN = {"arrivals": Kind.COUNTER, "dropped": Kind.COUNTER}


def second(arrivals: int, dropped: int, peak: int = 1) -> Point:
    counters = {"arrivals": arrivals, "dropped": dropped}
    return Point(t_s=1.0, span_s=1.0, counters=counters, users={"peak": peak})


def notes(most: int, *points: Point) -> list[str]:
    totals = RunTotals.of(points, arrivals=Arrivals("10/s", most))
    return [one for one in totals.notes() if "dropped" in one]


def test_iterations_without_a_free_user_or_too_late_count_as_dropped():
    point = second(5, 0)
    late = Point(
        t_s=1.0,
        span_s=1.0,
        counters={"arrivals": 5},
        throttles={ARRIVAL_RATE: ThrottlePoint(missed=2)},
    )
    assert with_dropped(late, 3).counters == {"arrivals": 5, "dropped": 5}
    assert with_dropped(late, 0).counters == {"arrivals": 5, "dropped": 2}
    assert with_dropped(point, 0) is point
    assert with_dropped(Point(t_s=1.0, span_s=1.0), 4).counters == {"dropped": 4}


def test_the_dropped_share_is_relative_to_all_due_iterations():
    assert share({"arrivals": 75, "dropped": 25}) == 0.25
    assert share({"arrivals": 75}) == share({}) == 0.0


def test_the_note_says_which_option_to_raise():
    (note,) = notes(50, second(1_900, 100, peak=50))
    assert note.startswith("100 of 2,000 iterations were dropped (5.00%): no user was free in time")
    assert "all 50 were busy; raise --max-users" in note
    (note,) = notes(50, second(1_900, 100, peak=49))
    assert note.endswith("workers were missing or too late for their slots")
    (note,) = notes(50, second(50, 100, peak=50))
    assert "none of 50 users finished an iteration; either start() does not return" in note


def test_there_is_no_note_when_nothing_was_dropped():
    assert notes(5, second(10, 0, peak=5)) == []
    assert ArrivalTotals(None).notes({"dropped": 5}) == []


@pytest.mark.parametrize(
    ("text", "passed", "value"),
    [
        ("dropped < 1%", False, "10%"),
        ("dropped <= 10%", True, "10%"),
        ("dropped < 11", True, "10"),
        ("arrivals > 89", True, "90"),
        ("arrivals.rate > 80/s", True, "90/s"),
    ],
)
def test_thresholds_accept_dropped_as_a_share_or_a_count(text, passed, value):
    (one,) = threshold.of_run((text,), (), "")
    result = one.evaluate(Tally.of([second(90, 10)]), KNOWN)
    assert (result.passed, result.value_text) == (passed, value)


def test_a_share_without_iterations_has_no_sample():
    (one,) = threshold.of_run(("dropped < 1%",), (), "")
    result = one.evaluate(Tally.of([Point(t_s=1.0, span_s=1.0)]), KNOWN)
    assert not result.passed
    assert "there is no sample" in result.reason
