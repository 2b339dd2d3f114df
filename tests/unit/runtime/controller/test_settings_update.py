"""Changes of settings: in force everywhere or nowhere, also when workers are lost over them."""

from __future__ import annotations

from collections.abc import Callable

import gevent
import pytest

from amoc.base.errors import SettingError
from amoc.base.operator import Operator
from amoc.ipc.messages.orders import (
    ORDER_REPLIES,
    ApplySettings,
    Done,
    Order,
    Refused,
    RevertSettings,
    VerifySettings,
)
from amoc.ipc.worker_id import WorkerId
from amoc.runtime.controller.orders import Broadcast
from amoc.runtime.controller.settings_update import SettingsUpdate

FIRST, SECOND, REPLACED = (WorkerId("node0", *ids) for ids in ((0, 1), (1, 1), (0, 2)))


class Workers:
    """Workers that do what a test says with each order."""

    def __init__(self, react: Callable[[WorkerId, Order], None], *up: WorkerId) -> None:
        self.told: list[tuple[WorkerId, Order]] = []
        self.said: list[str] = []
        self.react = react
        self.broadcast = Broadcast(self._post)
        operator = Operator(lambda _, text: self.said.append(text))
        self.update = SettingsUpdate(self.broadcast, (50.0, None), lambda _: None, operator)
        for worker in up:
            self.broadcast.worker_up(worker)

    def _post(self, worker: WorkerId, order: Order) -> None:
        self.told.append((worker, order))
        gevent.spawn(self.react, worker, order)

    def done(self, worker: WorkerId, order: Order) -> None:
        self.broadcast.hear(worker, ORDER_REPLIES.pack(Done(order.number, "done")))

    def refuse(self, worker: WorkerId, order: Order) -> None:
        self.broadcast.hear(worker, ORDER_REPLIES.pack(Refused(order.number, "no")))

    def replace(self) -> None:
        self.broadcast.worker_lost(FIRST)
        self.broadcast.worker_up(REPLACED)
        self.update.worker_up(REPLACED)

    def orders(self, worker: WorkerId) -> list[type]:
        return [type(order) for one, order in self.told if one == worker]


def workers(react: Callable[[Workers, WorkerId, Order], None], *up: WorkerId) -> Workers:
    made = Workers(lambda worker, order: react(made, worker, order), *up)
    return made


def test_a_change_of_which_two_workers_die_is_taken_back() -> None:
    def react(it: Workers, worker: WorkerId, order: Order) -> None:
        if isinstance(order, ApplySettings):
            it.broadcast.worker_lost(worker)
        else:
            it.done(worker, order)

    it = workers(react, FIRST, SECOND)
    with pytest.raises(SettingError, match="2 workers were lost when they applied pace; nothing"):
        it.update.set({"pace": 2})
    assert it.update.values == {}


def test_a_change_of_which_a_worker_and_its_replacement_die_is_taken_back() -> None:
    def react(it: Workers, worker: WorkerId, order: Order) -> None:
        if not isinstance(order, ApplySettings):
            it.done(worker, order)
        elif worker == FIRST:
            it.replace()
        else:
            it.broadcast.worker_lost(worker)

    it = workers(react, FIRST)
    with pytest.raises(SettingError, match="2 workers were lost"):
        it.update.set({"pace": 2})
    assert it.update.values == {}


def test_a_worker_that_dies_of_something_else_is_replaced_by_one_that_applies_the_change() -> None:
    def react(it: Workers, worker: WorkerId, order: Order) -> None:
        if worker == FIRST and isinstance(order, ApplySettings):
            it.replace()
        else:
            it.done(worker, order)

    it = workers(react, FIRST, SECOND)
    it.update.set({"pace": 2})
    assert it.update.values == {"pace": 2}
    assert it.orders(REPLACED) == [ApplySettings]
    assert it.orders(SECOND) == [VerifySettings, ApplySettings]


def test_a_change_that_only_a_replacement_refuses_is_taken_back() -> None:
    def react(it: Workers, worker: WorkerId, order: Order) -> None:
        if worker == REPLACED and isinstance(order, ApplySettings):
            it.refuse(worker, order)
        else:
            it.done(worker, order)

    it = workers(react, FIRST, SECOND)
    it.update.set({"pace": 2})
    it.replace()
    with gevent.Timeout(10):
        while not it.said:
            gevent.sleep(0)
    assert it.said == ["no; nothing was changed"]
    assert it.update.values == {}
    assert it.orders(SECOND)[-1] is RevertSettings


def test_what_fails_while_a_change_is_taken_back_is_told() -> None:
    def react(it: Workers, worker: WorkerId, order: Order) -> None:
        answer = it.done if isinstance(order, VerifySettings) else it.refuse
        answer(worker, order)

    it = workers(react, FIRST)
    with pytest.raises(SettingError, match=r"no; nothing was changed\ntaking it back, no"):
        it.update.set({"pace": 2})
