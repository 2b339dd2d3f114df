"""Calls of scenarios, answered or refused by the controller."""

from __future__ import annotations

import gevent
import pytest

from amoc.base import context, waiting
from amoc.base.context import WorkerContext
from amoc.base.errors import ClosedError, PeerError, ScenarioError
from amoc.ipc import rpc
from amoc.ipc.messages.envelope import Envelope, Part
from amoc.ipc.messages.rpc import ANSWERS, Answer
from amoc.ipc.outbox import Outbox
from amoc.ipc.worker_id import WorkerId

DEADLINE_S = 60.0
WORKER = WorkerId("node0", 1, 1)


@pytest.fixture(autouse=True)
def fresh():
    with WorkerContext().activated():
        yield


class Wire:
    """A worker's client connected to the controller's server."""

    def __init__(self) -> None:
        self.calls = rpc.RpcServer(lambda _worker, answer: self.back(answer))
        self.outbox = Outbox(self.carry)
        self.line = rpc.RpcClient(WORKER, self.outbox)
        context.active().set(rpc.Handler, self.line)

    def carry(self, worker: WorkerId, envelope: Envelope) -> None:
        assert envelope.header() == (Part.CALLS, 1, 1)
        self.calls.handle(worker, envelope.body)

    def back(self, answer: Answer) -> None:
        gevent.spawn(self.line.handle, ANSWERS.pack(answer))


def test_a_call_is_answered_by_the_operation_it_names():
    wire = Wire()
    wire.calls.operations["sums.add"] = lambda origin, a, b: [origin.worker, a + b]
    assert rpc.ask("sums.add", 2, 3) == [1, 5]


@pytest.mark.parametrize(
    ("operation", "words"),
    [("sums.no", "refused on purpose"), ("sums.what", "no operation sums.what")],
)
def test_a_refused_call_raises_the_reason(operation, words):
    wire = Wire()

    def refuse(_origin):
        raise ScenarioError("refused on purpose")

    wire.calls.operations["sums.no"] = refuse
    with pytest.raises(ScenarioError, match=words):
        rpc.ask(operation)


def test_wrong_arguments_are_refused_and_the_server_carries_on():
    wire = Wire()
    wire.calls.operations["sums.one"] = lambda _origin: 1
    with pytest.raises(ScenarioError, match=r"sums\.one cannot be called like this"):
        rpc.ask("sums.one", 2)
    assert rpc.ask("sums.one") == 1


def test_an_operation_may_answer_later():
    wire = Wire()
    later = rpc.Later()
    wire.calls.operations["work.do"] = lambda _origin: later
    asking = gevent.spawn(rpc.ask, "work.do")
    gevent.sleep(0)
    assert not asking.ready()
    later.done()
    assert asking.get(timeout=DEADLINE_S) is None
    assert rpc.ask("work.do") is None  # already done


def test_a_later_answer_is_a_value_or_a_refusal():
    wire = Wire()
    later, never = rpc.Later(), rpc.Later()
    wire.calls.operations["work.do"] = lambda _origin: later
    wire.calls.operations["work.not"] = lambda _origin: never
    asking, refused = gevent.spawn(rpc.ask, "work.do"), gevent.spawn(rpc.ask, "work.not")
    gevent.sleep(0)
    later.done(7)
    never.done(error="it cannot be done")
    assert asking.get(timeout=DEADLINE_S) == 7
    with pytest.raises(ScenarioError, match="it cannot be done"):
        refused.get(timeout=DEADLINE_S)


def test_only_interruptible_calls_end_when_a_user_is_asked_to_stop():
    wire = Wire()
    later = rpc.Later()
    wire.calls.operations["work.do"] = lambda _origin: later
    patient = gevent.spawn(rpc.ask, "work.do")
    hasty = gevent.spawn(rpc.ask, "work.do", interruptible=True)
    gevent.sleep(0)
    for one in (patient, hasty):
        waiting.interrupt(one, InterruptedError("asked to stop"))
    with pytest.raises(InterruptedError, match="asked to stop"):
        hasty.get(timeout=DEADLINE_S)
    assert not patient.ready()
    later.done()
    assert patient.get(timeout=DEADLINE_S) is None


def test_answers_in_any_order_reach_their_callers():
    wire = Wire()
    held: list[Answer] = []
    wire.back = held.append  # type: ignore[method-assign]
    wire.calls.operations["echo.it"] = lambda _origin, text: text
    asking = [gevent.spawn(rpc.ask, "echo.it", text) for text in "abc"]
    with gevent.Timeout(DEADLINE_S):
        while len(held) < 3:
            gevent.sleep(0)
    for answer in reversed(held):
        wire.line.handle(ANSWERS.pack(answer))
    assert [one.get(timeout=DEADLINE_S) for one in asking] == ["a", "b", "c"]


def test_a_missing_answer_times_out_and_a_late_one_is_ignored():
    wire = Wire()
    held: list[Answer] = []
    wire.back = held.append  # type: ignore[method-assign]
    wire.calls.operations["late.one"] = lambda _origin: 1
    with pytest.raises(PeerError, match=r"within 0\.01 s"):
        rpc.ask("late.one", timeout_s=0.01)
    wire.line.handle(ANSWERS.pack(held[0]))


def test_calls_in_init_are_recorded_in_order_and_made_later():
    with rpc.recording() as recorder:
        assert rpc.ask("throttle.start", "a", 1) == [True, []]
        assert rpc.ask("throttle.pause", "a") is None
        with pytest.raises(TypeError):
            rpc.ask("throttle.start", object())
    assert recorder.calls == [("throttle.start", ("a", 1)), ("throttle.pause", ("a",))]
    with pytest.raises(ClosedError, match="available only in a run"):
        rpc.ask("throttle.start", "a", 1)


def test_queries_are_refused_in_init_by_name():
    with rpc.recording() as recorder:
        for part in ("throttle", "coordinator"):
            with pytest.raises(ScenarioError, match=rf"{part}\.state is not available in init\(\)"):
                rpc.ask(f"{part}.state", "a")
    assert not recorder.calls


def test_init_can_start_a_name_once_and_again_after_stopping_it():
    with rpc.recording() as recorder:
        rpc.ask("throttle.start", "a", 1)
        assert rpc.ask("throttle.start", "a", 1) == [False, []], "the same again is harmless"
        with pytest.raises(ScenarioError, match="throttle a is already started"):
            rpc.ask("throttle.start", "a", 2)
        rpc.ask("coordinator.start", "a", [])
        with pytest.raises(ScenarioError, match="coordinator a is already started"):
            rpc.ask("coordinator.start", "a", [])
        rpc.ask("throttle.stop", "a")
        rpc.ask("throttle.start", "a", 2)
    assert [call[0] for call in recorder.calls] == [
        *("throttle.start", "coordinator.start", "throttle.stop", "throttle.start")
    ]
