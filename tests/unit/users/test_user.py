"""The user greenlet: repeats start() as configured, leaves when asked, ends when killed."""

from __future__ import annotations

import contextlib
from math import inf
from types import SimpleNamespace

import gevent
import pytest
from gevent import GreenletExit, get_hub
from gevent.event import Event
from gevent.lock import Semaphore
from hypothesis import given
from hypothesis import strategies as st

from amoc import metrics
from amoc.base import pause
from amoc.base.errors import ClosedError
from amoc.base.loop_guard import Killed
from amoc.base.waiting import interrupt
from amoc.metrics.board import UserState
from amoc.scenario import events
from amoc.users import api as user_module
from amoc.users.mailbox import Mailbox
from amoc.users.user import MAX_CRASH_PAUSE_S, StopReason, User, UserStopped

DEADLINE_S = 60.0


class Crowd:
    """A minimal pool for users; records its calls."""

    wait_turn = None

    def __init__(self, start, repeat_num=1.0, repeat_interval_s=0.0, crash_pause_s=0.1, seed=42):
        self.states = memoryview(bytearray(100))
        self.seed = seed
        self.repeat_num = repeat_num
        self.repeat_interval_s = repeat_interval_s
        self.crash_pause_s = crash_pause_s
        self.run_once = start
        self.crashes: list[BaseException] = []
        self.gone: list[int] = []
        self.iterations: list[int] = []
        self.changed = Event()

    def crashed(self, user, error):
        self.crashes.append(error)

    def iteration_ended(self, user):
        self.iterations.append(user.id)

    def left(self, user):
        self.gone.append(user.id)
        self.changed.set()

    def state(self, user_id=1):
        return UserState(self.states[user_id])


def begin(crowd: Crowd, user_id: int = 1) -> User:
    user = User(user_id, crowd)
    get_hub().loop.run_callback(user.switch)
    return user


def wait_gone(crowd: Crowd, count: int = 1) -> None:
    with gevent.Timeout(DEADLINE_S):
        while len(crowd.gone) < count:
            crowd.changed.wait()
            crowd.changed.clear()


def wait_until(condition) -> None:
    """Run the event loop until `condition` holds."""
    with gevent.Timeout(DEADLINE_S):
        while not condition():
            gevent.sleep(0)


def wait_state(crowd: Crowd, state: UserState, user_id: int = 1) -> None:
    wait_until(lambda: crowd.states[user_id] == state)


# Repeating


@pytest.mark.parametrize("times", [1, 2, 5])
def test_start_runs_repeat_num_times(times):
    seen = []
    crowd = Crowd(
        lambda user_id: seen.append((user_id, user_module.iteration)), repeat_num=float(times)
    )
    begin(crowd)
    wait_gone(crowd)
    assert seen == [(1, number) for number in range(1, times + 1)]
    assert crowd.state() is UserState.FINISHED
    assert crowd.gone == [1]


def test_the_state_is_running_inside_start_and_between_in_the_pause():
    states = []
    crowd = Crowd(lambda user_id: states.append(crowd.state()), repeat_num=2, repeat_interval_s=inf)
    user = begin(crowd)
    wait_state(crowd, UserState.BETWEEN)
    assert states == [UserState.RUNNING]
    user.ask_to_stop(StopReason.RUN_ENDS)
    wait_gone(crowd)
    assert states == [UserState.RUNNING]


def pauses_of(monkeypatch, start, **settings) -> list[float]:
    pauses = []

    def note(user, seconds):
        pauses.append(seconds)
        return False

    monkeypatch.setattr(User, "wait_stopping", note)
    crowd = Crowd(start, **settings)
    begin(crowd)
    wait_gone(crowd)
    return pauses


def crash(user_id):
    raise ValueError(f"user {user_id} is out of luck")


@pytest.mark.parametrize("interval", [0.0, 60.0])
def test_pauses_after_crashes_grow_regardless_of_the_interval(monkeypatch, interval):
    pauses = pauses_of(
        monkeypatch, crash, repeat_num=8, repeat_interval_s=interval, crash_pause_s=1.0
    )
    means = [1, 2, 4, 8, *[MAX_CRASH_PAUSE_S] * 3]
    assert all(mean / 2 <= pause <= mean * 3 / 2 for mean, pause in zip(means, pauses, strict=True))
    assert len({pause / mean for mean, pause in zip(means, pauses, strict=True)}) > 1


def test_a_successful_iteration_resets_the_crash_backoff(monkeypatch):
    calls = iter([crash, crash, int, crash])

    def start(user_id):
        next(calls)(user_id)

    pauses = pauses_of(monkeypatch, start, repeat_num=4, repeat_interval_s=5.0, crash_pause_s=1.0)
    assert [0.5 <= pauses[0] <= 1.5, 1 <= pauses[1] <= 3, pauses[2]] == [True, True, 5.0]


def test_a_user_that_returns_pauses_for_repeat_interval(monkeypatch):
    found = pauses_of(monkeypatch, lambda user_id: None, repeat_num=3, repeat_interval_s=0.25)
    assert found == [0.25, 0.25]


def test_a_user_that_returns_at_once_lets_others_run():
    crowd = Crowd(lambda user_id: None, repeat_num=inf, repeat_interval_s=0.0)
    user = begin(crowd)
    wait_until(lambda: user.iteration > 20)  # this greenlet still runs
    user.ask_to_stop(StopReason.RUN_ENDS)
    wait_gone(crowd)


# Crashing


@pytest.mark.parametrize(
    "error",
    [ValueError("x"), SystemExit(3), KeyboardInterrupt(), BaseException("y"), gevent.Timeout()],
)
def test_any_exception_in_start_crashes_only_this_user(error):
    def start(user_id):
        raise error

    crowd = Crowd(start)
    begin(crowd)
    wait_gone(crowd)
    assert crowd.crashes == [error]
    assert crowd.state() is UserState.CRASHED


def test_crashed_iterations_repeat_and_only_the_last_decides_the_final_state():
    def start(user_id):
        if user_module.iteration == 1:
            crash(user_id)

    crowd = Crowd(start, repeat_num=2)
    begin(crowd)
    wait_gone(crowd)
    assert len(crowd.crashes) == 1
    assert crowd.state() is UserState.FINISHED


def test_a_user_is_gone_even_when_its_crash_cannot_be_counted():
    class Clumsy(Crowd):
        def crashed(self, user, error):
            raise RuntimeError("the board is full")

    crowd = Clumsy(crash)
    hub = get_hub()
    with_errors = hub.handle_error
    hub.handle_error = lambda *args: None
    try:
        begin(crowd)
        wait_until(lambda: crowd.gone or crowd.state() is not UserState.NONE)
    finally:
        hub.handle_error = with_errors
    assert crowd.gone == [1]
    assert crowd.state() is UserState.CRASHED


# Stopping


@pytest.mark.parametrize(
    ("start", "why", "state"),
    [
        (lambda user_id: None, StopReason.RUN_ENDS, UserState.FINISHED),
        (lambda user_id: None, StopReason.REMOVED, UserState.REMOVED),
        (crash, StopReason.RUN_ENDS, UserState.CRASHED),
        (crash, StopReason.REMOVED, UserState.REMOVED),
    ],
)
def test_a_user_between_iterations_leaves_at_once_when_asked(start, why, state):
    crowd = Crowd(start, repeat_num=inf, repeat_interval_s=inf)
    user = begin(crowd)
    wait_state(crowd, UserState.BETWEEN)
    user.ask_to_stop(why)
    wait_gone(crowd)
    assert (crowd.state(), user.iteration) == (state, 1)


@pytest.mark.parametrize(
    ("why", "state"),
    [(StopReason.RUN_ENDS, UserState.FINISHED), (StopReason.REMOVED, UserState.REMOVED)],
)
def test_a_user_inside_start_finishes_its_iteration_and_starts_no_other(why, state):
    gate, ends = Event(), []

    def start(user_id):
        gate.wait()
        ends.append(user_module.stopping)

    crowd = Crowd(start, repeat_num=inf)
    user = begin(crowd)
    wait_state(crowd, UserState.RUNNING)
    user.ask_to_stop(why)
    gevent.sleep(0)
    assert crowd.gone == []
    gate.set()
    wait_gone(crowd)
    assert ends == [True]
    assert crowd.state() is state


def test_the_stronger_reason_to_leave_is_kept():
    crowd = Crowd(lambda user_id: None, repeat_interval_s=inf, repeat_num=2)
    user = begin(crowd)
    wait_state(crowd, UserState.BETWEEN)
    user.ask_to_stop(StopReason.REMOVED)
    user.ask_to_stop(StopReason.RUN_ENDS)
    wait_gone(crowd)
    assert crowd.state() is UserState.REMOVED


def test_a_user_may_wait_until_it_is_asked_to_leave():
    answers = []
    crowd = Crowd(lambda user_id: answers.append(user_module.wait_stopping()))
    user = begin(crowd)
    wait_state(crowd, UserState.RUNNING)
    user.ask_to_stop(StopReason.RUN_ENDS)
    wait_gone(crowd)
    assert answers == [True]


def test_wait_stopping_returns_false_at_its_timeout():
    answers = []

    def start(user_id):
        answers.append(user_module.wait_stopping(0.001))
        answers.append(user_module.wait_stopping(0.0))

    begin(crowd := Crowd(start))
    wait_gone(crowd)
    assert answers == [False, False]


def test_wait_stopping_returns_at_once_if_already_asked():
    gate, answers = Event(), []

    def start(user_id):
        gate.wait()
        answers.append([user_module.wait_stopping(inf), user_module.wait_stopping(60)])

    user = begin(crowd := Crowd(start))
    wait_state(crowd, UserState.RUNNING)
    user.ask_to_stop(StopReason.RUN_ENDS)
    gate.set()
    wait_gone(crowd)
    assert answers == [[True, True]]


@given(
    st.lists(st.sampled_from(["ask", "ask again", "turn", "timer"]), max_size=6),
    st.sampled_from([0.0, 1e-6, 1e-3, inf]),
)
def test_a_wait_wakes_its_user_only_once(story, seconds):
    gate, woken = SimpleNamespace(parked=False), []

    def start(user_id):
        answer = user_module.wait_stopping(seconds)
        # Anything that wakes it now, except the token below, is a second wake-up of the wait.
        gate.parked = True
        woken.append((answer, get_hub().switch()))

    user = begin(crowd := Crowd(start))
    wait_state(crowd, UserState.RUNNING)
    for what in story:
        if what.startswith("ask"):
            user.ask_to_stop(StopReason.RUN_ENDS)
        elif what == "timer":
            gevent.sleep(1e-6)
        else:
            gevent.sleep(0)
    user.ask_to_stop(StopReason.RUN_ENDS)
    wait_until(lambda: gate.parked)
    for _ in range(3):
        gevent.sleep(0)
    gevent.sleep(1e-6)
    get_hub().loop.run_callback(user.switch, "token")
    wait_gone(crowd)
    assert [token for _, token in woken] == ["token"]
    assert seconds < inf or woken[0][0] is True


# Killing


def wait_in_semaphore(user_id):
    Semaphore(0).acquire()


def wait_in_user_sleep(user_id):
    user_module.sleep(inf)


def wait_in_gevent_sleep(user_id):
    gevent.sleep(1000)


def wait_for_leaving(user_id):
    user_module.wait_stopping()


@pytest.mark.parametrize(
    "start", [wait_in_semaphore, wait_in_user_sleep, wait_in_gevent_sleep, wait_for_leaving]
)
def test_a_killed_user_counts_as_timed_out_wherever_it_waits(start):
    user = begin(crowd := Crowd(start, repeat_num=inf))
    wait_state(crowd, UserState.RUNNING)
    user.kill()
    wait_gone(crowd)
    assert crowd.state() is UserState.TIMED_OUT
    assert crowd.crashes == []


def test_a_user_killed_between_iterations_counts_as_timed_out():
    user = begin(crowd := Crowd(lambda user_id: None, repeat_num=2, repeat_interval_s=inf))
    wait_state(crowd, UserState.BETWEEN)
    user.kill()
    wait_gone(crowd)
    assert crowd.state() is UserState.TIMED_OUT


def test_a_user_killed_before_its_first_switch_leaves_too():
    crowd = Crowd(wait_in_semaphore)
    user = begin(crowd)
    user.kill()
    wait_gone(crowd)
    assert crowd.state() is UserState.TIMED_OUT


@pytest.mark.parametrize("kill_first", [False, True])
def test_a_user_asked_and_killed_in_one_turn_leaves_once(kill_first):
    user = begin(crowd := Crowd(lambda user_id: None, repeat_num=2, repeat_interval_s=inf))
    wait_state(crowd, UserState.BETWEEN)
    for step in (user.kill, lambda: user.ask_to_stop(StopReason.RUN_ENDS))[
        :: 1 if kill_first else -1
    ]:
        step()
    wait_gone(crowd)
    for _ in range(3):
        gevent.sleep(0)
    assert crowd.gone == [1]
    assert user.dead


def test_a_killed_user_may_wait_in_its_finally_block():
    steps = []

    def start(user_id):
        try:
            gevent.sleep(1000)
        finally:
            gevent.sleep(0.001)
            steps.append("cleaned up")

    user = begin(crowd := Crowd(start))
    wait_state(crowd, UserState.RUNNING)
    user.kill()
    wait_gone(crowd)
    assert steps == ["cleaned up"]
    assert crowd.state() is UserState.TIMED_OUT


def test_killing_a_user_that_has_left_does_nothing():
    user = begin(crowd := Crowd(lambda user_id: None))
    wait_gone(crowd)
    user.kill()
    user.ask_to_stop(StopReason.REMOVED)
    for _ in range(3):
        gevent.sleep(0)
    assert crowd.gone == [1]
    assert crowd.state() is UserState.FINISHED


def test_a_user_that_swallows_its_kill_is_not_repeated_once_asked_to_leave():
    def start(user_id):
        with contextlib.suppress(GreenletExit):
            gevent.sleep(1000)

    user = begin(crowd := Crowd(start, repeat_num=inf))
    wait_state(crowd, UserState.RUNNING)
    user.ask_to_stop(StopReason.RUN_ENDS)
    user.kill()
    wait_gone(crowd)
    assert user.iteration == 1


def test_a_user_that_swallows_its_kill_and_continues_can_be_killed_again():
    swallowed = []

    def start(user_id):
        while len(swallowed) < 3:
            try:
                gevent.sleep(1000)
            except GreenletExit as error:
                swallowed.append(error)
        gevent.sleep(1000)

    user = begin(crowd := Crowd(start))
    wait_state(crowd, UserState.RUNNING)
    for number in range(3):
        user.kill()
        wait_until(lambda number=number: len(swallowed) == number + 1)
        assert crowd.gone == []
    user.kill()
    wait_gone(crowd)


def test_an_exception_while_being_killed_counts_as_a_crash():
    def start(user_id):
        try:
            gevent.sleep(1000)
        finally:
            raise ValueError("in finally")

    user = begin(crowd := Crowd(start))
    wait_state(crowd, UserState.RUNNING)
    user.kill()
    wait_gone(crowd)
    assert [str(error) for error in crowd.crashes] == ["in finally"]


# What a user knows about itself


def test_user_attributes_are_available_only_to_a_user():
    seen = []
    crowd = Crowd(lambda user_id: seen.append((user_module.id, user_module.stopping)))
    begin(crowd, 7)
    wait_gone(crowd)
    assert seen == [(7, False)]
    with pytest.raises(ClosedError, match=r"amoc\.user is available only to a user"):
        user_module.id  # noqa: B018
    with pytest.raises(AttributeError, match="has no attribute 'idd'"):
        user_module.idd  # noqa: B018


def drawn(user_id: int, seed: int) -> list[float]:
    found = []

    def start(user_id):
        found.extend(user_module.random.random() for _ in range(5))

    begin(crowd := Crowd(start, seed=seed), user_id)
    wait_gone(crowd)
    return found


def test_random_numbers_depend_on_user_and_seed_and_are_reproducible():
    assert drawn(1, seed=42) == drawn(1, seed=42)
    assert len({tuple(drawn(user_id, seed)) for user_id in (1, 2, 3) for seed in (1, 2)}) == 6


@pytest.mark.parametrize("seconds", [-1, -1e-9, -inf, float("nan")])
def test_an_invalid_sleep_is_refused(seconds):
    with pytest.raises(ValueError, match="sleep must be at least 0 s, got"):
        user_module.sleep(seconds)


def test_many_users_ending_at_once_each_leave_once():
    crowd = Crowd(lambda user_id: None, repeat_num=inf, repeat_interval_s=inf)
    users = [begin(crowd, user_id) for user_id in range(1, 100)]
    wait_until(lambda: all(state == UserState.BETWEEN for state in crowd.states[1:]))
    for number, user in enumerate(users):
        (
            user.kill
            if number % 3 == 0
            else lambda user=user: user.ask_to_stop(StopReason.RUN_ENDS)
        )()
    wait_gone(crowd, len(users))
    assert sorted(crowd.gone) == list(range(1, 100))
    assert all(user.dead for user in users)


def test_iteration_ended_is_called_however_an_iteration_ends():
    def start(user_id):
        if user_id == 1:
            raise ValueError
        if user_id == 2:
            raise gevent.GreenletExit
        if user_id == 3:
            raise UserStopped

    crowd = Crowd(start, repeat_num=2.0)
    for user_id in range(1, 5):
        begin(crowd, user_id)
    wait_gone(crowd, 4)
    assert sorted(crowd.iterations) == [1, 1, 2, 2, 3, 3, 4, 4]
    states = [UserState(crowd.states[user_id]).name for user_id in range(1, 5)]
    assert states == ["CRASHED", "CRASHED", "CRASHED", "FINISHED"]


# Being asked to stop in a waiting call


def waits(user_id):
    user_module.sleep(60)


WAITS = {
    "sleep": lambda: user_module.sleep(60),
    "sleep for ever": lambda: user_module.sleep(inf),
    "receive": lambda: user_module.receive(timeout=60),
    "receive with a match": lambda: user_module.receive(lambda message: False),
}


@pytest.mark.parametrize(
    ("why", "state"),
    [(StopReason.RUN_ENDS, UserState.FINISHED), (StopReason.REMOVED, UserState.REMOVED)],
)
@pytest.mark.parametrize("wait", WAITS.values(), ids=WAITS)
def test_a_user_in_a_waiting_call_of_amoc_ends_there_when_asked_to_stop(wait, why, state):
    steps = []

    def start(user_id):
        try:
            wait()
        except Exception:
            steps.append("caught")
        finally:
            steps.append("cleaned up")

    user = begin(crowd := Crowd(start, repeat_num=inf))
    wait_until(lambda: user.waiting_for is not None)
    user.ask_to_stop(why)
    wait_gone(crowd)
    assert steps == ["cleaned up"]
    assert (crowd.state(), user.iteration, crowd.crashes) == (state, 1, [])
    assert user.waiting_for is None


def test_a_user_waiting_elsewhere_ends_at_its_next_call_of_amoc():
    gate, steps = Event(), []

    def start(user_id):
        gate.wait()
        steps.append("went on")
        user_module.sleep(0)
        steps.append("slept")

    user = begin(crowd := Crowd(start))
    wait_state(crowd, UserState.RUNNING)
    user.ask_to_stop(StopReason.RUN_ENDS)
    gevent.sleep(0)
    assert crowd.gone == []
    gate.set()
    wait_gone(crowd)
    assert steps == ["went on"]
    assert crowd.state() is UserState.FINISHED


@pytest.mark.parametrize("told", ["by the exception", "by stopping", "by wait_stopping"])
def test_a_user_that_knows_it_should_stop_may_still_wait_to_clean_up(told):
    gate, steps = Event(), []

    def start(user_id):
        gate.wait()
        try:
            if told == "by the exception":
                user_module.sleep(60)
            assert user_module.stopping if told == "by stopping" else user_module.wait_stopping()
        finally:
            user_module.sleep(0.001)
            steps.append(user_module.receive(timeout=60))

    user = begin(crowd := Crowd(start))
    wait_state(crowd, UserState.RUNNING)
    user.ask_to_stop(StopReason.RUN_ENDS)
    gate.set()
    wait_until(lambda: user.mailbox is not None)
    user.ask_to_stop(StopReason.REMOVED)  # it is not interrupted again
    gevent.sleep(0)
    user.mailbox.put("goodbye", 7)
    wait_gone(crowd)
    assert steps == ["goodbye"]
    assert crowd.crashes == []


def test_a_user_that_swallows_userstopped_is_not_repeated():
    def start(user_id):
        with contextlib.suppress(UserStopped):
            user_module.sleep(60)

    user = begin(crowd := Crowd(start, repeat_num=inf))
    wait_until(lambda: user.waiting_for is not None)
    user.ask_to_stop(StopReason.RUN_ENDS)
    wait_gone(crowd)
    assert (user.iteration, crowd.state()) == (1, UserState.FINISHED)


def test_a_message_that_arrived_with_the_stop_is_received_and_the_next_wait_ends():
    received = []

    def start(user_id):
        received.append(user_module.receive(timeout=60))
        received.append(user_module.receive(timeout=60))

    user = begin(crowd := Crowd(start))
    wait_until(lambda: user.waiting_for is not None)
    user.mailbox.put("in time", 7)
    user.ask_to_stop(StopReason.RUN_ENDS)
    wait_gone(crowd)
    assert received == ["in time"]
    assert crowd.state() is UserState.FINISHED


def test_a_user_asked_to_stop_still_receives_a_waiting_message():
    gate, received = Event(), []

    def start(user_id):
        gate.wait()
        received.append(user_module.receive())

    user = begin(crowd := Crowd(start))
    wait_state(crowd, UserState.RUNNING)
    user.mailbox = Mailbox()
    user.mailbox.put("there", 5)
    user.ask_to_stop(StopReason.RUN_ENDS)
    gate.set()
    wait_gone(crowd)
    assert received == ["there"]


def test_a_user_waiting_in_a_paused_run_ends_at_once():
    user = begin(crowd := Crowd(waits))
    wait_until(lambda: user.waiting_for is not None)
    pause.pause()
    try:
        user.ask_to_stop(StopReason.REMOVED)
        wait_gone(crowd)
    finally:
        pause.resume()
    assert crowd.state() is UserState.REMOVED


def test_an_interrupt_is_raised_once_and_not_after_its_iteration():
    gate, errors = Event(), []

    def start(user_id):
        try:
            user_module.sleep(60)
        except OSError as error:
            errors.append(error)
        gate.wait()

    user = begin(crowd := Crowd(start, repeat_num=inf, repeat_interval_s=inf))
    wait_until(lambda: user.waiting_for is not None)
    interrupt(user, OSError("the connection is lost"))
    wait_until(lambda: errors)
    interrupt(user, OSError("the connection is lost again"))
    gate.set()
    wait_state(crowd, UserState.BETWEEN)
    user.ask_to_stop(StopReason.RUN_ENDS)
    wait_gone(crowd)
    assert [str(error) for error in errors] == ["the connection is lost"]
    assert crowd.crashes == []


def test_being_asked_to_stop_takes_precedence_over_an_interrupt():
    gate = Event()

    def start(user_id):
        gate.wait()
        user_module.sleep(60)

    user = begin(crowd := Crowd(start))
    wait_state(crowd, UserState.RUNNING)
    user.ask_to_stop(StopReason.RUN_ENDS)
    interrupt(user, OSError("the connection is lost"))
    gate.set()
    wait_gone(crowd)
    assert crowd.state() is UserState.FINISHED


def test_the_old_names_still_work_with_a_warning():
    answers = []

    def start(user_id):
        with pytest.deprecated_call(match=r"user\.leaving is now user\.stopping"):
            answers.append(user_module.leaving)
        with pytest.deprecated_call(match=r"user\.wait_leaving is now user\.wait_stopping"):
            answers.append(user_module.wait_leaving(60))

    user = begin(crowd := Crowd(start))
    get_hub().loop.run_callback(user.ask_to_stop, StopReason.RUN_ENDS)
    wait_gone(crowd)
    assert crowd.crashes == []
    assert answers == [False, True]


def test_an_interrupt_ends_wait_stopping():
    seen = []

    def start(user_id):
        try:
            user_module.wait_stopping(60)
        except OSError as error:
            seen.append(error)

    crowd = Crowd(start)
    user = begin(crowd)
    gevent.sleep(0)
    lost = OSError("gone")
    interrupt(user, lost)
    wait_gone(crowd, 1)
    assert seen == [lost]


# Being observed


@pytest.fixture
def spans():
    heard = []

    def hear(event):
        heard.append((event.name, event.user_id, dict(event.data)))

    events.on("iteration.*")(hear)
    yield heard
    events.off(hear)


def test_each_iteration_is_a_span_with_its_exception(spans):
    def start(user_id):
        if len(spans) < 2:
            raise ValueError("no")

    crowd = Crowd(start, repeat_num=2)
    begin(crowd)
    wait_gone(crowd)
    assert [(name, user, data["iteration"]) for name, user, data in spans] == [
        ("iteration.start", 1, 1),
        ("iteration.stop", 1, 1),
        ("iteration.start", 1, 2),
        ("iteration.stop", 1, 2),
    ]
    first, second = spans[1][2], spans[3][2]
    assert first["error"].startswith("ValueError: no (test_user.py:")
    assert first["exception"] is crowd.crashes[0]
    assert (second["error"], second["exception"]) == ("", None)
    assert len(crowd.crashes) == 1


def test_the_span_of_a_stopped_or_killed_user_has_its_reason(spans):
    crowd = Crowd(waits)
    for user_id, end in ((1, lambda it: it.ask_to_stop(StopReason.RUN_ENDS)), (2, User.kill)):
        user = begin(crowd, user_id)
        wait_until(lambda: spans and spans[-1][1] == user_id)  # noqa: B023
        end(user)
        wait_gone(crowd, user_id)
    ends = [type(data["exception"]) for name, _, data in spans if name == "iteration.stop"]
    assert ends == [UserStopped, Killed]
    assert not crowd.crashes


def iterations():
    return next((one.value for one in metrics.read() if one.name == "iterations"), 0)


def test_iterations_that_did_not_crash_are_counted():
    calls = iter([crash, int, int])

    def start(user_id):
        next(calls)(user_id)

    before = iterations()
    crowd = Crowd(start, repeat_num=3)
    begin(crowd)
    wait_gone(crowd)
    assert iterations() - before == 2


@pytest.mark.parametrize("end", [lambda it: it.ask_to_stop(StopReason.RUN_ENDS), User.kill])
@pytest.mark.parametrize(
    ("first", "attempt_s", "number"), [(int, 10.0, 2), (crash, 10.0, 0), (crash, 0.0, 1)]
)
def test_an_interrupted_iteration_counts_unless_it_is_a_retry_after_a_crash(
    first, attempt_s, number, end, monkeypatch
):
    monkeypatch.setattr("amoc.users.user.MAX_CRASH_PAUSE_S", attempt_s)
    calls = iter([first])
    waiting = Event()

    def start(user_id):
        one = next(calls, None)
        if one is not None:
            one(user_id)
            return
        waiting.set()
        user_module.sleep(100)

    before = iterations()
    crowd = Crowd(start, repeat_num=inf)
    user = begin(crowd)
    assert waiting.wait(10)
    end(user)
    wait_gone(crowd)
    assert iterations() - before == number
