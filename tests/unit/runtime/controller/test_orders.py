"""Orders: replies of all workers are collected, without waiting for lost ones."""

from __future__ import annotations

from collections.abc import Callable

import gevent
import pytest

from amoc.base.errors import PeerError
from amoc.ipc.messages.orders import (
    ORDER_REPLIES,
    CountUsers,
    Done,
    Order,
    OrderReply,
    Pause,
    Refused,
    RemoveIds,
    UserCounts,
    UsersRemoved,
)
from amoc.ipc.worker_id import WorkerId
from amoc.runtime.controller import orders
from amoc.runtime.controller.orders import LOST, Broadcast, Outcome

DEADLINE_S = 60.0
FIRST, SECOND = WorkerId("node0", 0, 1), WorkerId("node0", 1, 1)


class Workers:
    """Two workers and the orders sent to them."""

    def __init__(self) -> None:
        self.told: list[tuple[WorkerId, Order]] = []
        self.broadcast = Broadcast(lambda *told: self.told.append(told))
        for worker in (FIRST, SECOND):
            self.broadcast.worker_up(worker)

    def answer(self, worker: WorkerId, kind: Callable[..., OrderReply], *fields: object) -> None:
        number = next(order.number for one, order in reversed(self.told) if one == worker)
        self.broadcast.handle(worker, ORDER_REPLIES.pack(kind(number, *fields)))


def pause(number: int, _: WorkerId) -> Pause:
    return Pause(number)


@pytest.fixture
def workers() -> Workers:
    return Workers()


def asked(workers: Workers, *arguments: object, **options: object) -> gevent.Greenlet:
    asking = gevent.spawn(workers.broadcast.ask, *arguments, **options)
    gevent.sleep(0)
    return asking


def test_all_workers_are_asked_and_all_answers_returned(workers):
    asking = asked(workers, lambda number, _: CountUsers(number), DEADLINE_S)
    assert workers.told == [(FIRST, CountUsers(1)), (SECOND, CountUsers(1))]
    workers.answer(SECOND, UserCounts, 2, 1, 3)
    workers.answer(FIRST, Refused, "no")
    answers = asking.get(timeout=DEADLINE_S)
    assert list(answers) == [FIRST, SECOND]
    assert answers[FIRST].error == "no"
    assert answers[FIRST].answer is None
    assert answers[SECOND].answer == UserCounts(1, 2, 1, 3)


def test_orders_may_differ_by_worker_and_go_to_some_only(workers):
    asking = asked(
        workers, lambda number, one: RemoveIds(number, [one.worker]), DEADLINE_S, to=[SECOND]
    )
    assert workers.told == [(SECOND, RemoveIds(1, [1]))]
    workers.answer(SECOND, UsersRemoved, 1, 0, 0, 0, [])
    assert list(asking.get(timeout=DEADLINE_S)) == [SECOND]


def test_a_worker_lost_before_it_answers_is_reported_as_lost(workers):
    asking = asked(workers, pause, DEADLINE_S)
    workers.answer(FIRST, Done, "")
    workers.broadcast.worker_lost(SECOND)
    answers = asking.get(timeout=DEADLINE_S)
    assert answers[FIRST].outcome is Outcome.ANSWERED
    assert answers[SECOND] == LOST
    assert workers.broadcast.workers == {FIRST}


def test_a_silent_worker_is_named_at_the_deadline(workers):
    answers = asked(workers, pause, 0.01).get(timeout=DEADLINE_S)
    assert answers[FIRST].error == "has not replied within 0.01 s"
    assert answers[FIRST].outcome is Outcome.SILENT
    workers.answer(FIRST, Done, "")  # too late, and harmless


def test_an_order_without_workers_has_no_answers(workers):
    for worker in (FIRST, SECOND):
        workers.broadcast.worker_lost(worker)
    assert asked(workers, pause, DEADLINE_S).get(timeout=DEADLINE_S) == {}


def test_a_second_answer_of_a_worker_is_ignored(workers):
    asking = asked(workers, pause, DEADLINE_S)
    workers.answer(FIRST, Done, "a")
    workers.answer(FIRST, Done, "b")
    assert not asking.ready()
    workers.answer(SECOND, Done, "")
    assert asking.get(timeout=DEADLINE_S)[FIRST].answer == Done(1, "a")


def test_a_command_waits_while_all_of_its_workers_are_being_replaced(workers):
    replaced = WorkerId("node0", 1, 2)
    workers.broadcast.worker_lost(SECOND)
    assert workers.broadcast.ready() == [FIRST]
    waiting = gevent.spawn(workers.broadcast.ready, [SECOND.worker])
    gevent.sleep(0)
    assert not waiting.ready()
    workers.broadcast.worker_up(WorkerId("node0", 2, 1))
    workers.broadcast.worker_up(replaced)
    assert waiting.get(timeout=DEADLINE_S) == [replaced]


def test_a_command_times_out_if_no_worker_comes_up(workers, monkeypatch):
    monkeypatch.setattr(orders, "REPLACE_S", 0.01)
    workers.broadcast.worker_lost(FIRST)
    workers.broadcast.worker_lost(SECOND)
    with pytest.raises(PeerError, match=r"no worker was ready within 0\.01 s; nothing was changed"):
        workers.broadcast.ready()
