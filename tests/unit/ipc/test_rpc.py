"""Calls: a scenario asks, the controller answers, or says no in one line."""

from __future__ import annotations

import gevent
import pytest

from amoc.base.errors import ClosedError, PeerError, ScenarioError
from amoc.ipc import messages, rpc
from amoc.ipc.messages import Answer, Call, Envelope
from amoc.ipc.outbox import FULL_BYTES, Outbox
from amoc.ipc.rpc_server import RpcServer
from amoc.ipc.worker_id import WorkerId

DEADLINE_S = 10.0
WORKER = WorkerId("node0", 1, 1)


@pytest.fixture(autouse=True)
def nobody_installed():
    yield
    rpc.install(None)


class Wire:
    """A worker's line and the controller's desk, joined."""

    def __init__(self) -> None:
        self.desk = RpcServer(lambda _worker, _part, answer: self.back(answer))
        self.outbox = Outbox(1, self.carry)
        self.line = rpc.RpcClient(1, self.outbox)
        rpc.install(self.line)

    def carry(self, parcel: Envelope) -> None:
        assert (parcel.part, parcel.worker, parcel.incarnation) == ("calls", 1, 1)
        self.desk.hear(WORKER, parcel.body)

    def back(self, answer: Answer) -> None:
        gevent.spawn(self.line.hear, messages.pack_item(answer))


def test_a_call_is_answered_by_the_operation_it_names():
    wire = Wire()
    wire.desk.operations["sums.add"] = lambda origin, a, b: [origin.worker, a + b]
    assert rpc.ask("sums.add", 2, 3) == [1, 5]


@pytest.mark.parametrize(
    ("operation", "words"), [("sums.no", "refused on purpose"), ("sums.what", "nothing that")]
)
def test_what_is_refused_raises_the_reason(operation, words):
    wire = Wire()

    def refuse(_origin):
        raise ScenarioError("refused on purpose")

    wire.desk.operations["sums.no"] = refuse
    with pytest.raises(ScenarioError, match=words):
        rpc.ask(operation)


def test_wrong_arguments_are_refused_and_the_desk_goes_on():
    wire = Wire()
    wire.desk.operations["sums.one"] = lambda _origin: 1
    with pytest.raises(ScenarioError, match=r"sums\.one cannot be called so"):
        rpc.ask("sums.one", 2)
    assert rpc.ask("sums.one") == 1


def test_answers_find_their_callers_whatever_their_order():
    wire = Wire()
    held: list[Answer] = []
    wire.back = held.append  # type: ignore[method-assign]
    wire.desk.operations["echo.it"] = lambda _origin, text: text
    asking = [gevent.spawn(rpc.ask, "echo.it", text) for text in "abc"]
    with gevent.Timeout(DEADLINE_S):
        while len(held) < 3:
            gevent.sleep(0)
    for answer in reversed(held):
        wire.line.hear(messages.pack_item(answer))
    assert [one.get(timeout=DEADLINE_S) for one in asking] == ["a", "b", "c"]


def test_no_answer_is_an_error_in_time_and_a_late_one_is_passed_over():
    wire = Wire()
    held: list[Answer] = []
    wire.back = held.append  # type: ignore[method-assign]
    wire.desk.operations["late.one"] = lambda _origin: 1
    with pytest.raises(PeerError, match=r"within 0\.01 s"):
        rpc.ask("late.one", timeout_s=0.01)
    wire.line.hear(messages.pack_item(held[0]))


def test_calls_of_init_are_noted_in_order_and_made_later():
    with rpc.recording() as recorder:
        assert rpc.ask("throttle.start", "a", 1) is None
        assert rpc.ask("throttle.pause", "a") is None
        with pytest.raises(TypeError):
            rpc.ask("throttle.start", object())
    assert recorder.calls == [("throttle.start", "a", 1), ("throttle.pause", "a")]
    with pytest.raises(ClosedError, match="in a run only"):
        rpc.ask("throttle.start", "a", 1)


def test_the_outbox_makes_one_parcel_of_what_comes_together():
    sent: list[Envelope] = []
    outbox = Outbox(7, sent.append)
    outbox.put("calls", 1, messages.pack_item(Call(1, "a", [])))
    outbox.put("mail", 2, b"\x01")
    outbox.at_flush(lambda: outbox.put("calls", 1, messages.pack_item(Call(2, "b", []))))
    with gevent.Timeout(DEADLINE_S):
        while not sent:
            gevent.sleep(0)
    found = {(one.part, one.worker, one.incarnation): one.body for one in sent}
    assert found.keys() == {("calls", 1, 7), ("mail", 2, 0)}
    assert [call.number for call in messages.unpack_stream(found["calls", 1, 7])] == [1, 2]
    assert len(sent) == 2


def test_a_large_parcel_does_not_wait_for_company():
    sent: list[Envelope] = []
    outbox = Outbox(1, sent.append)
    outbox.put("mail", 0, bytes(FULL_BYTES))
    assert [len(one.body) for one in sent] == [FULL_BYTES]


def test_what_is_put_by_the_last_call_before_leaving_is_not_left_behind():
    sent: list[Envelope] = []
    outbox = Outbox(1, sent.append)

    def again() -> None:
        outbox.at_flush(lambda: outbox.put("mail", 0, b"\x02"))

    outbox.at_flush(again)
    with gevent.Timeout(DEADLINE_S):
        while not sent:
            gevent.sleep(0)
    assert sent[0].body == b"\x02"


def test_init_can_start_a_name_once_and_again_after_it_was_stopped():
    with rpc.recording() as recorder:
        rpc.ask("throttle.start", "a", 1)
        with pytest.raises(ScenarioError, match="throttle a is already started"):
            rpc.ask("throttle.start", "a", 1)
        rpc.ask("coordinator.start", "a", [])
        rpc.ask("throttle.stop", "a")
        rpc.ask("throttle.start", "a", 2)
    assert [call[0] for call in recorder.calls] == [
        *("throttle.start", "coordinator.start", "throttle.stop", "throttle.start")
    ]
