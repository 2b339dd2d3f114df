"""A rate that was not reached is spoken of, and no other."""

from __future__ import annotations

import pytest

from amoc.results.rate_shortfall import Shortfall
from amoc.results.series import Point, ThrottlePoint


def second(number: int, executions: int, waiting: int = 0, **fields) -> Point:
    throttle = {"rate": 24_000.0, "interval_s": 60.0, "mode": "run"} | {
        key: fields.pop(key) for key in ("rate", "interval_s", "mode") if key in fields
    }
    return Point(
        t_s=float(number),
        span_s=1.0,
        throttles={"pages": ThrottlePoint(**throttle, executions=executions, waiting=waiting)},
        **fields,
    )


def notes(points, except_for=frozenset()) -> list[str]:
    shortfall = Shortfall(except_for)
    for point in points:
        shortfall.take(point)
    return shortfall.notes()


def test_a_rate_that_was_not_reached_is_named_with_what_was():
    (note,) = notes(second(number, 147) for number in range(10))
    assert note == (
        "throttle pages reached 147/s of its configured 400/s: no users"
        " were waiting, so they were too few or the target too slow"
    )


def test_where_users_stood_in_line_it_was_not_they():
    (note,) = notes(second(number, 147, waiting=9) for number in range(10))
    assert "users were waiting" in note


@pytest.mark.parametrize(
    "points",
    [
        [second(number, 396) for number in range(10)],  # reached
        [second(number, 1) for number in range(4)],  # too short
        [second(number, 0) for number in range(10)],  # never used
        [second(number, int(number % 3 == 0)) for number in range(30)],  # now and then
        [second(number, 1, rate=None) for number in range(10)],  # no limit
        [second(number, 1, interval_s=0.0) for number in range(10)],  # not a rate
        [second(number, 1, mode="paused") for number in range(10)],
        [second(number, 1, active_s=0.0) for number in range(10)],
    ],
)
def test_nothing_is_said_where_there_is_nothing_to_say(points):
    assert notes(points) == []


def test_amocs_own_throttles_are_left_out():
    assert notes((second(number, 1) for number in range(10)), frozenset({"pages"})) == []


def test_seconds_that_were_paused_in_part_want_a_part():
    made = [second(number, 200, active_s=0.5) for number in range(20)]
    assert notes(made) == []
