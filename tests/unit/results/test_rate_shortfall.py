"""A rate that was not reached is spoken of, and no other."""

from __future__ import annotations

from dataclasses import replace

import pytest

from amoc.results.rate_shortfall import Shortfall
from amoc.results.series import Point, ThrottlePoint


def second(number: int, executions: int, waiting: int = 0, **fields) -> Point:
    wanted = fields.pop("wanted", 400 * fields.get("active_s", 1.0))
    throttle = ThrottlePoint(24_000.0, 60.0, "run", executions=executions, waiting=waiting)
    throttles = {"pages": replace(throttle, wanted=wanted)}
    return Point(t_s=float(number), span_s=1.0, throttles=throttles, **fields)


def notes(points, except_for=frozenset()) -> list[str]:
    shortfall = Shortfall(except_for)
    for point in points:
        shortfall.take(point)
    return shortfall.notes()


def test_a_rate_that_was_not_reached_is_named_with_what_was():
    (note,) = notes(second(number, 147) for number in range(10))
    assert note == (
        "throttle pages reached 147/s of the configured 400/s: no users"
        " were waiting, so they were too few or the target too slow"
    )


def test_where_users_were_waiting_the_generator_was_too_slow():
    (note,) = notes(second(number, 147, waiting=9) for number in range(10))
    assert "users were waiting, so the load generator" in note


def test_a_rate_that_changes_is_held_against_what_was_due_in_each_second():
    due = [*range(50, 600, 50), *range(600, 50, -50)]
    assert notes(second(number, n, waiting=9, wanted=n) for number, n in enumerate(due)) == []
    (note,) = notes(second(number, n // 2, wanted=n) for number, n in enumerate(due))
    assert f"reached {sum(due) / 2 / len(due):.4g}/s of" in note


@pytest.mark.parametrize(
    ("points", "idle"),
    [
        ([second(number, 400 * (number < 5)) for number in range(30)], "25 of 30 s"),
        ([second(number, int(number % 3 == 0)) for number in range(30)], "20 of 30 s"),
        ([second(number, 0) for number in range(10)], "10 of 10 s"),
    ],
)
def test_seconds_without_users_count_and_are_the_reason(points, idle):
    (note,) = notes(points)
    assert note.endswith(f"no user reached it in {idle}")


def test_a_slot_that_is_used_just_after_the_end_is_not_missing():
    assert notes(second(number, int(number < 9), wanted=1.0) for number in range(10)) == []
    assert notes(second(number, int(number < 8), wanted=1.0) for number in range(10)) != []


def test_late_executions_count_in_a_second_in_which_no_more_was_to_pass():
    made = [*(second(number, 300) for number in range(9)), second(9, 900, wanted=0.0)]
    assert notes(made) == []


@pytest.mark.parametrize(
    "points",
    [
        [second(number, 396) for number in range(10)],  # reached
        [second(number, 1) for number in range(4)],  # too short
        [second(number, 1, wanted=None) for number in range(10)],  # no limit, or not a rate
        [second(number, 1, wanted=0.0) for number in range(10)],  # paused
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
