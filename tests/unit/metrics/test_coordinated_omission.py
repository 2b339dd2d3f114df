"""Coordinated omission: a stall counts once for each turn it prevented, and no more."""

from __future__ import annotations

import tracemalloc
from collections import Counter, deque
from contextlib import suppress

import pytest
from gevent import GreenletExit
from greenlet import greenlet
from hypothesis import given, settings
from hypothesis import strategies as st

from amoc import metrics
from amoc.base import pause
from amoc.metrics import registry, stopwatch
from amoc.metrics.coordinated_omission import MAX_TIMERS, Cadence, missed
from amoc.metrics.histogram import CELLS, Histogram, cell_of

MS = 1_000_000
S = 1_000_000_000


@given(st.integers(0, 10**5), st.integers(5, 10**4))
def test_missed_turns_are_those_that_would_have_started_during_the_response(response, usual):
    turns = range(response - usual, usual - 1, -usual)
    assert Counter(dict(missed(response, usual))) == Counter(map(cell_of, turns))


@given(st.integers(0, 2**50), st.integers(1, 2**45))
def test_missed_turns_are_counted_completely_in_at_most_one_step_per_cell(response, usual):
    found = list(missed(response, usual))
    assert sum(hits for _, hits in found) == max(0, response // usual - 1)
    assert all(0 <= cell < CELLS and hits > 0 for cell, hits in found)
    bits = max(0, response.bit_length() - usual.bit_length()) + 2
    assert len(found) <= 128 * bits


def test_a_stall_of_an_hour_at_a_thousand_turns_a_second_is_cheap():
    found = list(missed(3600 * S, MS))
    assert sum(hits for _, hits in found) == 3_599_999
    assert len(found) < CELLS


def turns(*made: tuple[int, int], frozen=()) -> list[bool]:
    """Feed a cadence turns of (slot time, response time) and return what it answers."""
    (begin, _), *rest = made
    cadence = Cadence("timer", begin, 0, None)
    frozen = [*frozen, *[frozen[-1] if frozen else 0] * len(rest)]
    return [
        cadence.turn(at, paused, response)
        for (at, response), paused in zip(rest, frozen, strict=False)
    ]


def steady(count: int, every: int = 100) -> list[tuple[int, int]]:
    return [(every * number, 5) for number in range(count)]


def test_nothing_is_missed_before_the_usual_interval_is_known():
    assert turns((0, 5), (100, 900), (1000, 900), (1900, 5)) == [False, False, False]


def test_a_response_of_twice_the_usual_interval_misses_a_turn():
    assert turns(*steady(5), (500, 199))[-1] is False
    assert turns(*steady(5), (500, 200))[-1] is True


@given(
    st.lists(
        st.tuples(st.integers(1000, 1999), st.floats(0, 1, exclude_max=True)),
        min_size=1,
        max_size=100,
    )
)
def test_without_a_stall_a_closed_loop_misses_nothing(intervals):
    """A user returns when it is done, so no response is longer than the interval that follows."""
    at, made = 0, []
    for interval, share in intervals:
        made.append((at, int(interval * share)))
        at += interval
    assert not any(turns(*made))


def test_repeated_measurements_under_one_slot_do_not_count_as_intervals():
    cadence = Cadence("timer", 0, 0, None)
    for number in range(1, 6):
        for _ in range(3):
            cadence.turn(100 * number, 0, 5)
    assert cadence.usual_ns == 100


def test_a_pause_of_the_run_does_not_count_as_an_interval():
    cadence = Cadence("timer", 0, 0, None)
    for number in range(1, 6):
        cadence.turn(100 * number, 0, 5)
    cadence.turn(90_000, 89_400, 5)
    assert cadence.usual_ns == 100
    assert not cadence.turn(90_100, 89_400, 150)
    assert cadence.turn(90_200, 89_400, 200)


def test_one_stall_hardly_moves_the_usual_interval_but_a_lasting_change_does():
    cadence = Cadence("timer", 0, 0, None)
    for number in range(1, 20):
        cadence.turn(100 * number, 0, 5)
    assert cadence.turn(2000, 0, 5000)
    cadence.turn(7000, 0, 5)
    assert cadence.usual_ns == 112
    at, found = 7000, []
    for _ in range(60):  # each turn takes 5,000 from now on
        at += 5000
        found.append(cadence.turn(at, 0, 5000))
    assert found[0] is True
    assert not any(found[50:])


def test_a_user_that_rests_between_bursts_misses_no_turns():
    """Ten turns in a second, then a minute of rest: a stall of 2 s is not twenty turns."""
    at, made = 0, []
    for _ in range(5):
        made += [(at + 100 * MS * turn, 5 * MS) for turn in range(10)]
        at += 61 * S
    assert not any(turns(*made, (at, 2 * S)))


# A stall in a closed loop behind a throttle


def loop(users: int, rate: int, stall_s: float, seconds: int = 20) -> tuple[Histogram, Histogram]:
    """Service and response times of throttled users whose target stalls once.

    A user queues again as soon as it has its response, which takes 5 ms.
    """
    stall = range(10 * S, 10 * S + int(stall_s * S))
    spacing = S // rate
    line = deque((0, user) for user in range(users))  # (waiting since, user), ordered by time
    cadences: dict[int, Cadence] = {}
    service, response = Histogram(), Histogram()
    slot = 0
    busy: list[tuple[int, int]] = []
    while slot < seconds * S:
        busy.sort()
        while busy and busy[0][0] <= slot:
            line.append(busy.pop(0))
        if not line:
            slot += spacing  # no user is waiting: the slot is lost
            continue
        _, user = line.popleft()
        end = (stall.stop if slot in stall else slot) + 5 * MS
        busy.append((end, user))
        service.add({cell_of(end - slot): 1}, end - slot)
        response.add({cell_of(end - slot): 1}, end - slot)
        cadence = cadences.get(user)
        if cadence is None:
            cadences[user] = Cadence("timer", slot, 0, None)
        elif cadence.turn(slot, 0, end - slot):
            response.add(dict(missed(end - slot, cadence.usual_ns)), 0)
        slot += spacing
    return service, response


@settings(max_examples=40, deadline=None)
@given(st.integers(2, 40), st.integers(50, 200), st.floats(0.5, 4))
def test_a_stall_counts_once_per_missed_slot(users, rate, stall_s):
    service, response = loop(users, rate, stall_s)
    added = response.count - service.count
    wanted = max(0, rate * stall_s - users)
    # Each user may lose a turn to rounding at both ends, and enters the stall within its interval.
    assert abs(added - wanted) <= 2 * users + 0.02 * wanted
    assert response.max_ns == service.max_ns


@pytest.mark.parametrize("stall_s", [1.0, 2.0, 4.0])
def test_added_response_times_are_spread_evenly_below_the_stall_length(stall_s):
    service, response = loop(users=10, rate=100, stall_s=stall_s)
    for share in (0.25, 0.5, 0.75):
        limit = cell_of(int(share * stall_s * S))
        above = sum(
            hits - service.cells.get(cell, 0)
            for cell, hits in response.cells.items()
            if cell > limit
        )
        added = response.count - service.count
        assert above / added == pytest.approx(1 - share, abs=0.1)


def test_the_percentile_shows_a_stall_that_service_times_hide():
    service, response = loop(users=10, rate=100, stall_s=2.0)
    assert service.quantiles_s(0.99)[0] < 0.01
    assert response.quantiles_s(0.99)[0] > 1.5


def test_without_a_stall_nothing_is_added():
    service, response = loop(users=10, rate=100, stall_s=0.0)
    assert response == service


# In metrics


class Clock:
    """A clock that the test advances."""

    def __init__(self) -> None:
        self.now = 0

    def __call__(self) -> int:
        return self.now


@pytest.fixture
def clock(monkeypatch):
    pause.reset()
    clock = Clock()
    monkeypatch.setattr(stopwatch, "perf_counter_ns", clock)
    with registry.Registry().activated():
        yield clock


def in_a_user(user) -> greenlet:
    """Run `user` in a new greenlet, which is passed to it."""
    made = greenlet(lambda: user(made))
    made.switch()
    return made


def read() -> dict[str, Histogram]:
    return {one.name: one.value for one in metrics.read()}


def turn(me, clock, at, took, *timers):
    clock.now = at
    metrics.put_token(me, at)
    with timers[0].time():
        for inner in timers[1:]:
            with inner.time():
                pass
        clock.now += took


def test_a_stall_adds_to_response_times_only(clock):
    timer = metrics.timer("turn")

    def user(me):
        for number in range(20):
            turn(me, clock, number * 100 * MS, 5 * MS, timer)
        turn(me, clock, 2 * S, S, timer)

    in_a_user(user)
    found = read()
    assert found["turn"] == Histogram.of([5 * MS] * 20 + [S])
    steps = [S - number * 100 * MS for number in range(1, 10)]
    assert found["turn.response"] == Histogram.of([5 * MS] * 20 + [S, *steps])


@pytest.mark.parametrize(("took", "known"), [(S, 10), (150 * MS, 0)])
def test_a_user_killed_while_hanging_counts_if_it_missed_turns(clock, took, known):
    timer = metrics.timer("turn")

    def user(me):
        for number in range(20):
            turn(me, clock, number * 100 * MS, 5 * MS, timer)
        clock.now = 2 * S
        metrics.put_token(me, clock.now)
        with suppress(GreenletExit), timer.time():
            clock.now += took
            raise GreenletExit

    in_a_user(user)
    found = read()
    assert found["turn"].count == 20  # its service time is unknown
    assert found["turn.response"].count == 20 + known
    assert found["turn.response"].max_ns == (took if known else 5 * MS)


def test_without_a_rate_limit_no_turn_is_missed_and_the_usual_interval_is_reset(clock):
    timer = metrics.timer("turn")

    def user(me):
        for number in range(20):
            turn(me, clock, number * 100 * MS, 5 * MS, timer)
        clock.now = 2 * S
        metrics.put_token(me, clock.now, False)
        with timer.time():
            clock.now += 20 * S
        turn(me, clock, clock.now, S, timer)

    in_a_user(user)
    found = read()
    assert found["turn.response"] == found["turn"] == Histogram.of([5 * MS] * 20 + [20 * S, S])


def test_each_user_has_its_own_cadence(clock):
    timer = metrics.timer("turn")
    in_a_user(lambda me: [turn(me, clock, at * 100 * MS, MS, timer) for at in range(20)])
    in_a_user(lambda me: turn(me, clock, 3 * S, S, timer))
    assert read()["turn.response"].count == 21


def test_timers_of_two_throttles_and_nested_timers_have_separate_intervals(clock):
    often, seldom, inner = map(metrics.timer, ("often", "seldom", "inner"))

    def user(me):
        for number in range(40):
            turn(me, clock, number * 100 * MS, MS, often)
            if number % 10 == 0:
                turn(me, clock, number * 100 * MS + 50 * MS, MS, seldom, inner)
        turn(me, clock, 4 * S, S, seldom, inner)

    in_a_user(user)
    found = read()
    assert found["seldom.response"].count == found["seldom"].count == 5
    assert found["inner.response"].count == 5
    assert found["often.response"].count == 40


def test_a_dropped_token_does_not_count_as_a_turn(clock):
    timer = metrics.timer("turn")

    def user(me):
        for number in range(20):
            clock.now = number * 100 * MS
            metrics.put_token(me, clock.now)
            if number % 2:
                metrics.drop_token(me)
            else:
                turn(me, clock, clock.now, MS, timer)
        turn(me, clock, 2 * S, 500 * MS, timer)  # turns are 200 ms apart

    in_a_user(user)
    assert read()["turn.response"].count == 11 + 1


def test_a_pause_while_the_user_waits_for_its_slot_does_not_count_as_an_interval(
    clock, monkeypatch
):
    pauses = pause.PauseClock()
    monkeypatch.setattr(pause, "clock", pauses)
    timer = metrics.timer("turn")

    def user(me):
        for number in range(10):
            turn(me, clock, number * 100 * MS, MS, timer)
        pauses.earlier_ns = 60 * S
        for number in range(10, 13):
            turn(me, clock, 60 * S + number * 100 * MS, MS, timer)
        turn(me, clock, 60 * S + 13 * 100 * MS, 500 * MS, timer)

    in_a_user(user)
    assert read()["turn.response"].count == 14 + 4


def test_without_a_throttle_no_state_is_kept_per_user(clock):
    timer = metrics.timer("turn")

    def user(me):
        for _ in range(3):
            with timer.time():
                clock.now += S

    assert not vars(in_a_user(user))
    assert "turn.response" not in read()


def test_the_state_kept_per_user_is_bounded(clock):
    timers = [metrics.timer(f"turn_{number}") for number in range(MAX_TIMERS + 5)]

    def user(me):
        for number in range(30):
            for timer in timers:
                turn(me, clock, number * S, MS, timer)

    me = in_a_user(user)
    kept, cadence = 0, me.throttle_cadence
    while cadence is not None:
        kept, cadence = kept + 1, cadence.following
    assert kept == MAX_TIMERS
    assert all(read()[f"{timer.name}.response"].count == 30 for timer in timers)


def test_a_cadence_takes_less_than_250_bytes():
    tracemalloc.start()
    try:
        before = tracemalloc.get_traced_memory()[0]
        kept = [Cadence("timer", 10**15 + number, 0, None) for number in range(1000)]
        for one in kept:
            for number in range(1, 5):
                one.turn(10**15 + number * 10**9, 0, 5)
        assert (tracemalloc.get_traced_memory()[0] - before) / len(kept) < 250
    finally:
        tracemalloc.stop()


def test_the_simulated_loop_uses_every_slot():
    service, _ = loop(users=5, rate=100, stall_s=0.0, seconds=5)
    assert service.count == 500
