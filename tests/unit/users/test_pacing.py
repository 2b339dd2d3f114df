"""What a user does next and when: pick, think, pace, stop; and iteration numbers."""

from __future__ import annotations

from collections import Counter
from itertools import pairwise

import gevent
import pytest
from gevent import get_hub
from hypothesis import given
from hypothesis import strategies as st

from amoc import metrics, run, stop_run
from amoc.base import pause
from amoc.base.clock import MS_NS
from amoc.base.context import WorkerContext
from amoc.base.errors import ClosedError, ScenarioError
from amoc.ipc import rpc
from amoc.metrics import reserved
from amoc.metrics.board import UserState
from amoc.metrics.registry import Registry
from amoc.users import api as user_module
from amoc.users.run import STOP, IterationNumbers
from amoc.users.user import StopReason, UserStopped
from tests.unit.users.test_user import Crowd, begin, wait_gone, wait_until


def in_a_user(code, **settings) -> Crowd:
    """Run `code` in a user until it has left; return its pool."""
    crowd = Crowd(lambda _: code(), **settings)
    begin(crowd)
    wait_gone(crowd)
    return crowd


def outcome(code, **settings):
    """Return what `code` returns in a user, or raise what it raises."""
    found = []
    crowd = in_a_user(lambda: found.append(code()), **settings)
    if crowd.crashes:
        raise crowd.crashes[0]
    return found[0]


# pick


def test_choices_are_picked_by_weight_and_reproducibly_by_seed():
    def draw():
        return [user_module.pick({"browse": 9, "buy": 1, "never": 0}) for _ in range(5_000)]

    picked = outcome(draw)
    assert Counter(picked)["browse"] == pytest.approx(4_500, abs=200)
    assert "never" not in picked
    assert picked == outcome(draw)
    assert picked != outcome(draw, seed=43)


@given(st.dictionaries(st.integers(), st.floats(0, 1e300) | st.integers(0, 10**9), min_size=1))
def test_a_picked_choice_has_a_weight_above_zero(weights):
    if sum(weights.values()) > 0:
        assert weights[outcome(lambda: user_module.pick(weights))] > 0
    else:
        with pytest.raises(ScenarioError, match="at least one weight above 0"):
            outcome(lambda: user_module.pick(weights))


@pytest.mark.parametrize(
    ("choices", "message"),
    [
        ({}, "takes a weight for each choice"),
        (["browse", "buy"], r"got \['browse', 'buy'\]"),
        ({"a": 1, "b": -1}, "the weight of 'b' in pick.. must be a number of 0 or more, got -1"),
        ({"a": float("nan")}, "got nan"),
        ({"a": "9"}, "got '9'"),
    ],
)
def test_invalid_choices_are_refused(choices, message):
    with pytest.raises(ScenarioError, match=message):
        outcome(lambda: user_module.pick(choices))


def test_only_a_user_can_pick():
    with pytest.raises(ClosedError, match="only to a user"):
        user_module.pick({"browse": 9, "buy": 1})


# think


@pytest.fixture
def waits(monkeypatch):
    """Record the seconds that users want to wait, without waiting."""
    seconds: list[float] = []
    monkeypatch.setattr(
        "amoc.users.pacing.wait", lambda _, timeout: seconds.append(timeout) or False
    )
    return seconds


def test_think_time_is_drawn_between_bounds_and_reproducible_by_seed(waits):
    def think():
        for _ in range(100):
            user_module.think(1, 3)
        user_module.think(2.5)

    in_a_user(think)
    first, *waits[:] = [tuple(waits[:101]), *waits[101:]]
    assert all(1 <= one <= 3 for one in first[:100])
    assert max(first[:100]) - min(first[:100]) > 1.5
    assert first[100] == 2.5
    in_a_user(think)
    assert tuple(waits) == first


@pytest.mark.parametrize("times", [(-1,), (3, 1), (1, float("inf")), (float("nan"),), ("1s",)])
def test_an_invalid_think_time_is_refused(times):
    with pytest.raises(ScenarioError, match="takes a minimum and a maximum of 0 s or more"):
        outcome(lambda: user_module.think(*times))


def test_a_thinking_user_is_running_and_ends_when_asked_to_stop():
    crowd = Crowd(lambda _: user_module.think(3_600), repeat_num=5)
    user = begin(crowd)
    wait_until(lambda: user.waiting_for is not None)
    assert crowd.state() is UserState.RUNNING
    user.ask_to_stop(StopReason.RUN_ENDS)
    wait_gone(crowd)
    assert crowd.state() is UserState.FINISHED


# pace


class Clock:
    """The run's clock, advanced only by `wait` and `work`."""

    def __init__(self, monkeypatch) -> None:
        self.ns = 10**12
        self.overslept_ns = 0
        monkeypatch.setattr("amoc.users.user.now_ns", lambda: self.ns)
        monkeypatch.setattr(pause, "clock", pause.PauseClock(lambda: self.ns))
        monkeypatch.setattr("amoc.users.pacing.wait", self.wait)

    def wait(self, _: object, timeout: float) -> None:
        self.ns += round(timeout * 1e9) + self.overslept_ns

    def work(self, ms: float) -> None:
        self.ns += round(ms * MS_NS)


def turns_of(clock: Clock, works_ms, overslept_ms=0.0) -> list[float]:
    """Return the starts of 100 ms turns whose work takes `works_ms`, in ms since the first."""
    begun = []

    def start():
        clock.overslept_ns = round(overslept_ms * MS_NS)
        for ms in works_ms:
            begun.append(clock.ns)
            clock.work(ms)
            user_module.pace(0.1)

    in_a_user(start)
    return [round((one - begun[0]) / MS_NS, 2) for one in begun]


def test_turns_start_at_a_constant_pace_however_long_they_take(monkeypatch):
    assert turns_of(Clock(monkeypatch), [0, 30, 99, 1, 50]) == [0, 100, 200, 300, 400]


def test_a_late_turn_is_counted_and_not_made_up_for(monkeypatch):
    with Registry().activated():
        clock = Clock(monkeypatch)
        assert turns_of(clock, [0, 250, 0, 0]) == [0, 100, 350, 450]
        assert metrics.built_in(metrics.Counter, reserved.LATE_TURNS).value == 1


def test_small_loop_delays_do_not_add_up_and_long_ones_cause_no_burst(monkeypatch):
    assert turns_of(Clock(monkeypatch), [10] * 4, overslept_ms=5) == [0, 105, 205, 305]
    assert turns_of(Clock(monkeypatch), [10] * 4, overslept_ms=40) == [0, 140, 280, 420]


@given(st.lists(st.floats(0, 1_000), min_size=1, max_size=30), st.floats(0, 300))
def test_no_turn_is_shorter_than_its_pace_minus_its_late_start(works_ms, overslept_ms):
    with pytest.MonkeyPatch.context() as patch:
        begun = turns_of(Clock(patch), works_ms, overslept_ms)
    assert all(after - before >= 100 - 10.01 for before, after in pairwise(begun))


def test_a_new_iteration_starts_a_new_turn(monkeypatch):
    clock, begun = Clock(monkeypatch), []

    def start():
        clock.work(1_000)
        begun.append(clock.ns)
        clock.work(10)
        user_module.pace(2)
        begun.append(clock.ns)

    in_a_user(start, repeat_num=2)
    assert [
        (after - before) / 1e9 for before, after in zip(begun[::2], begun[1::2], strict=True)
    ] == [1, 1]


def test_a_pause_of_the_run_delays_a_paced_user():
    turned = []

    def start():
        user_module.pace(0.05)
        turned.append(pause.clock.run_ns())

    pause.reset()
    begun_ns = pause.clock.run_ns()
    crowd = Crowd(lambda _: start())
    user = begin(crowd)
    wait_until(lambda: user.waiting_for is not None)
    pause.pause()
    gevent.sleep(0.2)  # longer than the turn; that nothing happens can only be checked by waiting
    assert not turned
    pause.resume()
    wait_gone(crowd)
    assert turned[0] - begun_ns >= 50 * MS_NS
    pause.reset()


@pytest.mark.parametrize("seconds", [0, -1, float("nan"), float("inf"), "10s", None])
def test_an_invalid_pace_is_refused(seconds):
    with pytest.raises(ScenarioError, match=r"pace\(\) takes seconds above 0, got"):
        outcome(lambda: user_module.pace(seconds))


# stop


def test_a_user_that_stops_leaves_for_good_and_counts_as_finished():
    said = []

    def start():
        try:
            user_module.stop()
        finally:
            user_module.sleep(0)  # a leaving user may still wait in its clean-up
            said.append("goodbye")

    with Registry().activated():
        crowd = in_a_user(start, repeat_num=10)
    assert (said, crowd.state(), crowd.crashes) == (["goodbye"], UserState.FINISHED, [])


def test_a_user_that_was_removed_and_stops_counts_as_removed():
    def start():
        with pytest.raises(UserStopped):
            user_module.sleep(3_600)
        user_module.stop()

    crowd = Crowd(lambda _: start())
    user = begin(crowd)
    wait_until(lambda: user.waiting_for is not None)
    user.ask_to_stop(StopReason.REMOVED)
    wait_gone(crowd)
    assert crowd.state() is UserState.REMOVED


def test_the_end_of_the_run_does_not_interrupt_a_user_that_is_leaving():
    crowd_holder = []

    def start():
        try:
            user_module.stop()
        finally:
            crowd_holder[0].ask_to_stop(StopReason.RUN_ENDS)
            user_module.sleep(0)

    crowd = Crowd(lambda _: start())
    crowd_holder.append(begin(crowd))
    wait_gone(crowd)
    assert (crowd.state(), crowd.crashes) == (UserState.FINISHED, [])


# run.iteration and stop_run


@given(st.lists(st.integers(0, 3), max_size=60))
def test_iteration_numbers_are_unique_even_if_workers_are_replaced(turns):
    """Each turn belongs to the worker with that index; worker 0 is replaced after each turn."""
    cells = [memoryview(bytearray(8)).cast("Q") for _ in range(4)]
    numbers = [IterationNumbers(cells[at], at, 4) for at in range(4)]
    taken = []
    for turn in turns:
        taken.append(numbers[turn].take())
        if turn == 0:
            numbers[0] = IterationNumbers(cells[0], 0, 4)
    assert len(set(taken)) == len(taken)
    assert all(number >= 1 for number in taken)


def test_an_iteration_keeps_its_number_and_the_next_gets_a_new_one():
    seen = []
    numbers = IterationNumbers(memoryview(bytearray(8)).cast("Q"), 1, 2)
    context = WorkerContext()
    context.set(IterationNumbers, numbers)
    with context.activated():
        in_a_user(lambda: seen.extend([run.iteration, run.iteration]), repeat_num=3)
    assert seen == [2, 2, 4, 4, 6, 6]


def test_stop_run_requires_a_reason():
    asked = []

    class Noted(rpc.Handler):
        def __call__(self, operation, arguments, *_):
            asked.append((operation, arguments))

    context = WorkerContext()
    context.set(rpc.Handler, Noted())
    with context.activated():
        stop_run("enough")
        get_hub().loop.run_callback(stop_run, "from a handler")
        wait_until(lambda: len(asked) == 2)
        for reason in ("", " ", None, "x" * 1_001):
            with pytest.raises(ScenarioError, match="requires a reason"):
                stop_run(reason)
    assert asked == [(STOP, ("enough",)), (STOP, ("from a handler",))]
    # As in terminate().
    with pytest.raises(
        ClosedError, match=r"^stop_run\(\) can be called in users, their handlers and init"
    ):
        stop_run("too early")
