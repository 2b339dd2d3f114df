"""Adds without room: users wait, handlers get an error, nothing is lost."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import gevent
import pytest
from gevent import get_hub

from amoc import coordinator, metrics
from amoc.base import context, pause
from amoc.base.errors import PeerError
from amoc.base.open_gate import OpenGate
from amoc.coordinator import api, init_plans, worker
from amoc.coordinator.plan import parse
from amoc.coordinator.worker import Actions
from amoc.ipc.messages.coordinator import COORDINATOR_TO_CONTROLLER, CoordinatorAdds
from amoc.ipc.messages.envelope import Envelope
from amoc.ipc.outbox import Outbox
from amoc.ipc.worker_id import WorkerId
from amoc.users.user import StopReason
from tests.unit.coordinator.connected import Crowd, until

HERE = WorkerId("node0", 0, 1)


class Line:
    """A worker's coordinators and what they sent."""

    def __init__(self) -> None:
        init_plans.start("all", parse("all", ("all", lambda event: None)))
        self.room = OpenGate()
        self.envelopes: list[Envelope] = []
        self.actions = Actions(
            HERE, Outbox(lambda _, envelope: self.envelopes.append(envelope)), room=self.room
        )
        context.active().set(Actions, self.actions)

    @property
    def left(self) -> list[int]:
        """The added users that were sent by the worker."""
        return [
            user_id
            for envelope in self.envelopes
            for record in COORDINATOR_TO_CONTROLLER.unpack_stream(envelope.body)
            if isinstance(record, CoordinatorAdds)
            for user_id in record.ids
        ]


@pytest.fixture
def line() -> Iterator[Line]:
    yield Line()
    pause.resume()


def refused() -> int:
    found: dict[str, Any] = {metric.name: metric.value for metric in metrics.read()}
    return int(found.get("coordinator.all.adds_refused", 0))


def add(user_id: int) -> None:
    coordinator.add("all", user_id, None)


def test_adds_wait_for_room_and_none_are_lost(line: Line) -> None:
    line.room.shut()
    crowd = Crowd(lambda user_id: coordinator.add("all"))
    crowd.start(range(1, 101))
    task = gevent.spawn(add, 200)
    until(lambda: len(line.room.waiting) == 101)
    line.actions.flush()
    assert not line.left
    line.room.open()
    until(lambda: not crowd.alive)
    task.get()
    until(lambda: sorted(line.left) == [*range(1, 101), 200])
    assert not crowd.errors


def test_a_user_woken_after_the_room_filled_again_keeps_waiting(line: Line) -> None:
    line.room.shut()
    crowd = Crowd(lambda user_id: coordinator.add("all"))
    crowd.start([1])
    until(lambda: line.room.waiting)
    before = list(line.room.waiting)
    line.room.open()
    line.room.shut()
    until(lambda: line.room.waiting and list(line.room.waiting) != before)
    assert crowd.alive
    line.room.open()
    until(lambda: line.left == [1])


def test_a_wait_for_room_that_times_out_raises_and_is_counted(
    line: Line, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(api, "ROOM_S", 0.01)
    line.room.shut()
    before = refused()
    with pytest.raises(PeerError, match=r"add to coordinator all could not be sent from worker 0"):
        add(1)
    assert refused() == before + 1
    line.room.open()
    add(2)
    until(lambda: line.left == [2])


def test_an_event_loop_handler_is_refused_at_once_and_counted(line: Line) -> None:
    line.room.shut()
    before, errors = refused(), []

    def handler() -> None:
        try:
            add(1)
        except PeerError as error:
            errors.append(str(error))

    get_hub().loop.run_callback(handler)
    until(lambda: errors)
    assert "worker 0 at once (a handler must not wait)" in errors[0]
    assert refused() == before + 1
    line.room.open()
    get_hub().loop.run_callback(add, 2)
    until(lambda: line.left == [2])


@pytest.mark.parametrize("asked", ["while it waits", "before"])
def test_a_user_asked_to_stop_does_not_wait_for_room(line: Line, asked: str) -> None:
    line.room.shut()
    ended = []

    def start(user_id: int) -> None:
        if asked == "before":
            crowd.alive[user_id].ask_to_stop(StopReason.RUN_ENDS)
        try:
            coordinator.add("all")
        finally:
            ended.append(user_id)

    crowd = Crowd(start)
    crowd.start([1])
    if asked == "while it waits":
        until(lambda: line.room.waiting)
        crowd.alive[1].ask_to_stop(StopReason.RUN_ENDS)
    until(lambda: ended == [1] and not crowd.alive)
    assert not crowd.errors
    assert not line.room.waiting


def test_a_user_killed_while_it_waits_leaves_nothing_behind(line: Line) -> None:
    line.room.shut()
    crowd = Crowd(lambda user_id: coordinator.add("all"))
    crowd.start([1])
    user = crowd.alive[1]
    until(lambda: line.room.waiting)
    user.kill()
    until(lambda: not crowd.alive)
    assert not line.room.waiting
    assert user.waiting_for is None


def test_room_that_opens_during_a_pause_is_used_after_resume(line: Line) -> None:
    line.room.shut()
    crowd = Crowd(lambda user_id: coordinator.add("all"))
    crowd.start([1])
    until(lambda: line.room.waiting)
    pause.pause()
    line.room.open()
    until(lambda: crowd.alive[1] in pause.paused_greenlets)
    line.actions.flush()
    assert not line.left
    pause.resume()
    until(lambda: line.left == [1])


def test_large_adds_are_sent_without_batching(line: Line) -> None:
    data = b"x" * (worker.GATHERED_BYTES // 4)
    for user_id in range(1, 9):
        line.actions.add("all", user_id, data)
    assert line.left == list(range(1, 9))
