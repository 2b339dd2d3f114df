"""A note is written for each rate that was not reached, and for no other."""

from __future__ import annotations

import pickle

import pytest
from hypothesis import given
from hypothesis import strategies as st

from amoc.results.rate_shortfall import MAX_NOTES, Shortfall
from amoc.results.series import Point, ThrottlePoint


def second(number: int, executions: int, waiting: int = 0, **fields) -> Point:
    wanted = fields.pop("wanted", 400 * fields.get("active_s", 1.0))
    throttle = ThrottlePoint(24_000.0, 60.0, "run", executions=executions, waiting=waiting)
    throttles = {"pages": throttle._replace(wanted=wanted)}
    return Point(t_s=float(number), span_s=1.0, throttles=throttles, **fields)


def notes(points, except_for=frozenset()) -> list[str]:
    shortfall = Shortfall(except_for)
    for point in points:
        shortfall.take(point)
    return shortfall.notes()


def test_a_missed_rate_is_noted_with_the_rate_reached():
    (note,) = notes(second(number, 147) for number in range(10))
    assert note == (
        "throttle pages reached 147/s of the configured 400/s: no users were waiting when"
        " executions were missing, so there were too few users or the target was too slow"
    )


def test_with_users_waiting_the_generator_was_too_slow():
    (note,) = notes(second(number, 147, waiting=9) for number in range(10))
    assert "users were waiting, so the load generator" in note


def test_with_no_users_waiting_during_the_outage_the_target_was_too_slow():
    # Crashed users rest for some seconds before they start again: (executions, waiting at the end).
    outage = [(400, 40), (150, 0), (60, 0), (150, 10), (400, 110)]
    made = [*[(400, 160)] * 5, *outage, *[(400, 160)] * 5]
    (note,) = notes(second(number, *one) for number, one in enumerate(made))
    assert "no users were waiting when executions were missing" in note


@pytest.mark.parametrize("executions", [10, 0])
def test_users_that_wait_at_another_throttle_are_named_as_the_reason(executions):
    slow = ThrottlePoint(10.0, 1.0, "run", executions=executions, waiting=30)
    fast = ThrottlePoint(20.0, 1.0, "run", executions=executions, waiting=0)
    throttles = {"fast": fast._replace(wanted=20.0), "slow": slow._replace(wanted=executions)}
    (note,) = notes(
        Point(t_s=float(at), span_s=1.0, throttles=throttles, active_s=1.0) for at in range(30)
    )
    assert note.endswith(" of the configured 20/s: users were waiting at throttle slow instead")


class Name(str):
    """The name of a throttle; counts how often names are looked up."""

    __slots__ = ()
    lookups = 0

    def __hash__(self) -> int:
        Name.lookups += 1
        return super().__hash__()

    __eq__ = str.__eq__


def many(at: int, slow: range, fast: range) -> Point:
    """Return a second with users waiting at throttles `slow` and missing at throttles `fast`."""
    full = ThrottlePoint(10.0, 1.0, "run", executions=10, waiting=30)._replace(wanted=10.0)
    lacks = ThrottlePoint(20.0, 1.0, "run", executions=10, waiting=0)._replace(wanted=20.0)
    names = {**{f"slow{n}": full for n in slow}, **{f"fast{n}": lacks for n in fast}}
    throttles = {Name(name): throttle for name, throttle in names.items()}
    return Point(t_s=float(at), span_s=1.0, throttles=throttles, active_s=1.0)


def test_more_throttles_than_can_be_named_are_counted():
    *each, rest = notes(many(at, range(100), range(100)) for at in range(100))
    assert len(each) == MAX_NOTES == 20
    assert all(one.endswith("users were waiting at other throttles instead") for one in each)
    assert rest == "80 more throttles did not reach the configured rate"


def test_one_throttle_more_than_are_named_is_counted_in_the_singular():
    made = [many(at, range(0), range(MAX_NOTES + 1)) for at in range(10)]
    assert notes(made)[-1] == "1 more throttle did not reach the configured rate"
    made = [many(at, range(0), range(MAX_NOTES)) for at in range(10)]
    assert len(notes(made)) == MAX_NOTES
    assert notes(made)[-1].startswith("throttle fast9 reached")


def test_a_few_throttles_with_users_waiting_are_all_named():
    (note,) = notes(many(at, range(4), range(1)) for at in range(30))
    assert note.endswith("waiting at throttle slow0 and slow1 and slow2 and slow3 instead")


def test_a_second_with_twice_as_many_throttles_takes_twice_the_work():
    shortfall = Shortfall()
    work = []
    for number in (100, 200):
        for at in range(3):  # users are known to wait throughout from the second on
            point = many(at, range(number), range(number))
            Name.lookups = 0
            shortfall.take(point)
        work.append(Name.lookups)
    assert work[1] < 2.5 * work[0]


def test_the_memory_does_not_grow_with_the_pairs_of_throttles():
    sizes = []
    for number in (100, 200):
        shortfall = Shortfall()
        for at in range(2 * number):  # users wait at one of them after the other
            shortfall.take(many(at, range(at // 2, at // 2 + 1), range(number)))
        sizes.append(len(pickle.dumps(shortfall)))
    assert sizes[1] < 2.5 * sizes[0]


def test_with_late_slots_after_an_outage_the_generator_was_too_slow():
    made = [*[(400, 9)] * 5, (380, 0), (390, 9), *[(147, 9)] * 5]
    (note,) = notes(second(number, *one) for number, one in enumerate(made))
    assert "users were waiting, so the load generator" in note


def test_a_changing_rate_is_compared_with_the_target_of_each_second():
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
        ([second(0, 0), second(1, 400)], "1.0 of 2.0 s"),
    ],
)
def test_seconds_without_users_count_and_are_named_as_the_reason(points, idle):
    (note,) = notes(points)
    assert note.endswith(f"no user reached it in {idle}")


def test_a_slot_used_just_after_the_end_is_not_missing():
    assert notes(second(number, int(number < 9), wanted=1.0) for number in range(10)) == []
    assert notes(second(number, int(number < 8), wanted=1.0) for number in range(10)) != []


def test_late_executions_count_in_a_second_with_no_target():
    made = [*(second(number, 300) for number in range(9)), second(9, 900, wanted=0.0)]
    assert notes(made) == []


@pytest.mark.parametrize(
    "points",
    [
        [second(number, 396) for number in range(10)],  # reached
        [second(0, 8, wanted=10.0), second(1, 10, wanted=10.0)],  # its first user started late
        [second(0, 0, wanted=20.0, active_s=0.2)],  # in use for less than the tolerance
        [second(number, 1, wanted=None) for number in range(10)],  # no limit, or not a rate
        [second(number, 1, wanted=0.0) for number in range(10)],  # paused
        [second(number, 1, active_s=0.0) for number in range(10)],
    ],
)
def test_there_is_no_note_without_a_shortfall(points):
    assert notes(points) == []


def test_a_throttle_in_use_for_two_seconds_is_noted():
    (note,) = notes(second(number, 147) for number in range(2))
    assert note.startswith("throttle pages reached 147/s of the configured 400/s")


@given(
    rate=st.floats(0.1, 50_000.0),
    seconds=st.integers(1, 60),
    last_s=st.floats(0.05, 1.0),
    share=st.floats(0.0, 1.2),
)
def test_a_shortfall_is_noted_unless_it_is_small(rate, seconds, last_s, share):
    used_s = seconds - 1 + last_s
    spans = [1.0] * (seconds - 1) + [last_s]
    passed = int(share * rate * used_s)
    each, rest = divmod(passed, seconds)
    made = [
        second(number, each + (number < rest), wanted=rate * span_s, active_s=span_s)
        for number, span_s in enumerate(spans)
    ]
    missing = rate * used_s - passed
    little = max(0.05 * rate * used_s, 1.0, 0.25 * rate)
    if abs(missing - little) > 1e-6 * rate:
        assert len(notes(made)) == (missing > little)


@given(st.lists(st.tuples(st.floats(0.0, 1000.0), st.integers(0, 1000)), min_size=1, max_size=20))
def test_additional_full_seconds_never_cause_a_note(seconds):
    made = [second(n, passed, wanted=wanted) for n, (wanted, passed) in enumerate(seconds)]
    full = [second(len(made) + n, 1000, wanted=1000.0) for n in range(3)]
    if not notes(made):
        assert notes([*made, *full]) == []


def test_amocs_own_throttles_are_left_out():
    assert notes((second(number, 1) for number in range(10)), frozenset({"pages"})) == []


def test_partly_paused_seconds_count_in_proportion():
    made = [second(number, 200, active_s=0.5) for number in range(20)]
    assert notes(made) == []
