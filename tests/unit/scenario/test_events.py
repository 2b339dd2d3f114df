"""Events: received where they happen, free without subscribers, harmless if a subscriber fails."""

from __future__ import annotations

import logging
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import gevent
import pytest
from gevent import get_hub
from greenlet import GreenletExit
from hypothesis import given
from hypothesis import strategies as st

from amoc.base.clock import MS_NS, S_NS, now_ns
from amoc.base.errors import ScenarioError
from amoc.base.loop_guard import Killed
from amoc.base.waiting import Waiter
from amoc.ipc.messages.throttle import Permits, ThrottleMode, ThrottleToWorker, Tokens
from amoc.ipc.worker_id import WorkerId
from amoc.metrics import optional
from amoc.scenario import events
from amoc.scenario.events import SIGNALS, Event, Signal
from amoc.throttle.controller import Pacer
from amoc.throttle.slot_schedule import Mode
from amoc.throttle.token_waiter import OnToken, Token
from amoc.throttle.worker_queue import WorkerQueue

ROOT = Path(__file__).parents[3]


@pytest.fixture(autouse=True)
def _nobody_listens() -> Iterator[None]:
    before = {name: signal.subscribers for name, signal in SIGNALS.items()}
    yield
    for name, heard in before.items():
        SIGNALS[name].subscribers = heard


class Listener:
    """Subscribes to events and keeps them."""

    def __init__(self, *patterns: str) -> None:
        self.heard: list[Event] = []
        events.on(*patterns)(self.hear)

    def hear(self, event: Event) -> None:
        self.heard.append(event)

    @property
    def told(self) -> list[tuple[str, int | None, dict[str, Any]]]:
        return [(one.name, one.user_id, dict(one.data)) for one in self.heard]


def test_a_subscriber_receives_name_time_process_user_and_data() -> None:
    ear = Listener("user.added")
    before_ns = now_ns()
    events.happen_in("worker-3")
    try:
        events.USER_ADDED(7, again=False)
    finally:
        events.happen_in("")
    (event,) = ear.heard
    assert (event.name, event.process, event.user_id) == ("user.added", "worker-3", 7)
    assert event.data == {"again": False}
    assert before_ns <= event.at_ns <= now_ns()


@given(st.sampled_from(sorted(SIGNALS)))
def test_a_group_pattern_matches_exactly_its_events(name: str) -> None:
    group = name.partition(".")[0]

    def hear(event: Event) -> None:
        raise AssertionError("nothing has happened")

    events.on(f"{group}.*")(hear)
    heard = {one for one, signal in SIGNALS.items() if hear in signal.subscribers}
    assert heard == {one for one in SIGNALS if one.startswith(f"{group}.")}
    assert name in heard
    events.off(hear)
    assert not any(hear in signal.subscribers for signal in SIGNALS.values())


def test_a_subscriber_with_several_matching_patterns_is_called_once() -> None:
    ear = Listener("user.*", "*", "user.added")
    events.USER_ADDED(1, again=True)
    assert len(ear.heard) == 1


def test_subscribing_returns_the_function_unchanged() -> None:
    def hear(event: Event) -> str:
        return event.name

    assert events.on("run.start")(hear) is hear


def test_a_method_can_be_unsubscribed() -> None:
    ear = Listener("user.added")
    events.off(ear.hear)
    assert not events.USER_ADDED.subscribers


@pytest.mark.parametrize(
    ("patterns", "text"),
    [
        (("throttle.exec",), "no event matches 'throttle.exec'; did you mean throttle.execute?"),
        (("Throttle.*",), "no event matches 'Throttle.*'"),
        (("zzz",), "known: run.start, run.stop, node.up"),
        ((), 'must be given names, as in @events.on("user.added")'),
        ((print,), "must be given names"),
    ],
)
def test_an_event_that_does_not_exist_is_refused(patterns: tuple[Any, ...], text: str) -> None:
    with pytest.raises(ScenarioError, match=re.escape(text)):
        events.on(*patterns)


def test_a_subscriber_must_be_callable() -> None:
    with pytest.raises(ScenarioError, match="must be a function, got 7"):
        events.on("user.added")(7)  # type: ignore[type-var]


class Recorder(logging.Handler):
    def __init__(self) -> None:
        super().__init__()
        self.records: list[logging.LogRecord] = []

    def emit(self, record: logging.LogRecord) -> None:
        self.records.append(record)


@pytest.fixture
def told() -> Iterator[list[logging.LogRecord]]:
    """Log records about subscribers."""
    recorder, logger = Recorder(), logging.getLogger("amoc.scenario.events")
    logger.addHandler(recorder)
    yield recorder.records
    logger.removeHandler(recorder)


class Whatever(BaseException):
    """Not even an Exception."""


@pytest.mark.parametrize("in_loop", [False, True])
@pytest.mark.parametrize(
    "kind", [ValueError, SystemExit, KeyboardInterrupt, gevent.Timeout, Whatever]
)
def test_a_subscriber_that_raises_is_logged_and_harms_nobody(
    kind: type[BaseException], in_loop: bool, told: list[logging.LogRecord]
) -> None:
    error = kind()

    def fail(event: Event) -> None:
        raise error

    events.on("user.added")(fail)
    ear = Listener("user.added")
    survived: list[int] = []

    def happen() -> None:
        events.USER_ADDED(1, again=False)
        survived.append(1)

    if in_loop:
        get_hub().loop.run_callback(happen)
        gevent.sleep(0.001)
    else:
        happen()
    assert survived == [1]
    assert len(ear.heard) == 1
    (record,) = told
    assert record.getMessage().endswith(f"fail, a subscriber of user.added, raised {kind.__name__}")
    assert vars(record)["tell"] is True
    assert record.exc_info is not None
    assert record.exc_info[1] is error


def test_greenletexit_in_a_subscriber_does_not_end_the_event_loop(
    told: list[logging.LogRecord],
) -> None:
    def fail(event: Event) -> None:
        raise GreenletExit

    events.on("user.added")(fail)
    ear, survived = Listener("user.added"), []

    def happen() -> None:
        events.USER_ADDED(1, again=False)
        survived.append(True)

    get_hub().loop.run_callback(happen)
    gevent.sleep(0)
    assert survived
    assert len(ear.heard) == len(told) == 1


def test_a_user_killed_while_its_subscriber_waits_ends(told: list[logging.LogRecord]) -> None:
    reached = gevent.event.Event()

    def wait(event: Event) -> None:
        reached.set()
        gevent.sleep(3600)

    events.on("user.added")(wait)
    ear = Listener("user.added")
    user = gevent.spawn(events.USER_ADDED, 1, again=False)
    reached.wait()
    user.kill(Killed)
    assert isinstance(user.value, Killed)
    assert not ear.heard
    assert not told


def test_a_subscriber_cannot_change_the_data_of_others() -> None:
    def change(event: Event) -> None:
        event.data["again"] = "changed"  # type: ignore[index]

    events.on("user.added")(change)
    ear = Listener("user.added")
    events.USER_ADDED(1, again=False)
    assert ear.told == [("user.added", 1, {"again": False})]


def test_a_span_has_its_duration_and_error() -> None:
    ear = Listener("init.*")
    with events.span(events.INIT_START, events.INIT_STOP):
        pass
    with pytest.raises(KeyError), events.span(events.INIT_START, events.INIT_STOP):
        raise KeyError("domain")
    names = [event.name for event in ear.heard]
    assert names == ["init.start", "init.stop"] * 2
    assert [ear.heard[1].data["error"], ear.heard[3].data["error"]] == ["", "'domain'"]
    between_ns = ear.heard[1].at_ns - ear.heard[0].at_ns
    assert 0 <= ear.heard[1].data["duration_ns"] <= between_ns


# Where they come from


def queue(permits: bool = False) -> WorkerQueue:
    from amoc import metrics

    one = WorkerQueue("logins", metrics.timer("lateness_here"), None)
    one.receive_mode(ThrottleMode("logins", 1, 0, Mode.RUN, permits))
    one.work(now_ns(), now_ns() + S_NS)
    return one


def let_through(one: WorkerQueue, slots: int, late_ns: int = MS_NS, epoch: int = 1) -> int:
    """Give `one` that many slots and use each `late_ns` after it is due; return when they are due.

    Independent of the machine's speed: slots are due in a minute, and the time of use is given. A
    late slot would be void.
    """
    due_ns = now_ns() + 60 * S_NS
    one.receive_tokens(Tokens("logins", 1, epoch, 0, 1, slots, due_ns, 1.0))
    for _ in range(slots):
        one.work(due_ns + late_ns, due_ns + 60 * S_NS)
    return due_ns


class Waiting:
    """Looks like a waiting user to a queue."""

    def __init__(self, user_id: int) -> None:
        self.id = user_id
        self.tokens: list[Any] = []
        self.waiter: Waiter[Token] = Waiter()
        self.waiter.greenlet = self  # type: ignore[assignment]

    def switch(self) -> None:
        self.tokens.append(self.waiter.value)


def test_a_throttle_emits_requests_and_executions_with_lateness() -> None:
    ear = Listener("throttle.*")
    one, user = queue(), Waiting(7)
    one.enter(user.waiter)
    one.enter(OnToken(lambda _: None))
    due_ns = let_through(one, 2, 3 * MS_NS)
    assert ear.told[:3] == [
        ("throttle.request", 7, {"throttle": "logins", "waiting": 0}),
        ("throttle.request", None, {"throttle": "logins", "waiting": 1}),
        ("throttle.execute", 7, {"throttle": "logins", "late_ns": 3 * MS_NS}),
    ]
    assert ear.told[3][:2] == ("throttle.execute", None)
    assert user.tokens == [due_ns]


def test_a_concurrency_limit_emits_executions_too() -> None:
    ear = Listener("throttle.execute")
    one, user = queue(permits=True), Waiting(7)
    one.enter(user.waiter)
    one.receive_permits(Permits("logins", 1, 1, 1))
    one.work(now_ns(), now_ns() + S_NS)
    assert ear.told == [("throttle.execute", 7, {"throttle": "logins", "late_ns": 0})]


@pytest.mark.parametrize("mode", [Mode.OPEN, Mode.RUN])
def test_one_execute_event_is_emitted_per_counted_execution(mode: Mode) -> None:
    ear, one, users = (Listener("throttle.execute"), queue(), [Waiting(n) for n in range(1, 6)])
    executions = optional.throttle("logins").executions.cells
    before = executions[0]
    for user in users[:3]:
        one.enter(user.waiter)
    one.receive_mode(ThrottleMode("logins", 2, 0, mode, False))
    let_through(one, 9, epoch=2)
    for user in users[3:]:
        one.enter(user.waiter)
    assert len(ear.heard) == executions[0] - before >= 3
    assert [event.user_id for event in ear.heard[:3]] == [1, 2, 3]


def test_a_subscriber_that_raises_does_not_hold_up_users() -> None:
    def fail(event: Event) -> None:
        raise ValueError("no")

    events.on("throttle.*")(fail)
    one, user = queue(), Waiting(7)
    one.enter(user.waiter)
    due_ns = let_through(one, 1)
    assert user.tokens == [due_ns]


def test_the_controller_emits_events_of_its_throttles() -> None:
    posted: list[ThrottleToWorker] = []
    pacer = Pacer(lambda _, record: posted.append(record), lambda: 5 * S_NS)
    pacer.worker_up(WorkerId("node0", 0, 1))
    ear = Listener("throttle.*")
    pacer.start("logins", ["constant", 600.0], 60.0)
    pacer.operations["throttle.change_rate"](None, "logins", 1200.0, None)
    pacer.operations["throttle.pause"](None, "logins")
    pacer.stop("logins")
    rate = {"throttle": "logins", "rate": 1200.0, "interval_s": 60.0, "plan": ""}
    assert ear.told == [
        ("throttle.init", None, {"throttle": "logins", "rate": 600.0, "interval_s": 60.0}),
        ("throttle.rate", None, {**rate, "mode": "run"}),
        ("throttle.rate", None, {**rate, "mode": "paused"}),
        ("throttle.stop", None, {"throttle": "logins"}),
    ]


def test_the_page_lists_exactly_the_events_and_their_data() -> None:
    page = (ROOT / "docs/events.md").read_text()
    rows = re.findall(r"^\| `([a-z]+\.[a-z]+)` \|[^|]*\|([^|]*)\|", page, re.MULTILINE)
    documented = {name: re.findall(r"`(\w+)`", says) for name, says in rows}
    assert documented == {name: list(signal.keys) for name, signal in SIGNALS.items()}


def test_every_signal_knows_its_name() -> None:
    assert all(isinstance(one, Signal) and one.name == name for name, one in SIGNALS.items())
    assert repr(events.USER_ADDED) == "<signal user.added, 0 subscribers>"
