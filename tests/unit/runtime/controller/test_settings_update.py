"""Changes of settings apply everywhere or nowhere, even if workers are lost."""

from __future__ import annotations

from collections.abc import Callable

import gevent
import pytest

from amoc.base.errors import PeerError, SettingError, UsageError
from amoc.base.operator_log import OperatorLog
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
from amoc.runtime.controller.settings_update import MAX_CHANGES, REPLACE_S, SettingsUpdate

FIRST, SECOND, REPLACED = (WorkerId("node0", *ids) for ids in ((0, 1), (1, 1), (0, 2)))
THIRD = WorkerId("node0", 2, 2)
OF_SAME_NODE = WorkerId("node0", 3, 1)
ELSEWHERE, ELSEWHERE_AGAIN, OF_SAME_HOST = (
    WorkerId("node1", 4, 1),
    WorkerId("node1", 4, 2),
    WorkerId("node2", 5, 1),
)
HOSTS = {"node0": "here", "node1": "there", "node2": "there"}
APPLIED = (SECOND, ApplySettings)


class Workers:
    """Workers that react to each order as the test specifies."""

    def __init__(self, react: Callable[[WorkerId, Order], None], *up: WorkerId) -> None:
        self.told: list[tuple[WorkerId, Order]] = []
        self.said: list[str] = []
        self.react = react
        self.broadcast = Broadcast(self._post)
        operator = OperatorLog(lambda _, text: self.said.append(text))
        self.rates: list[float] = []
        self.rate_remark = ""
        self.update = SettingsUpdate(
            self.broadcast,
            (50.0, None),
            self.change_rate,
            operator,
            lambda node: (node, HOSTS[node]),
        )
        for worker in up:
            self.broadcast.worker_up(worker)

    def change_rate(self, per_minute: float) -> str:
        self.rates.append(per_minute)
        return self.rate_remark

    def _post(self, worker: WorkerId, order: Order) -> None:
        self.told.append((worker, order))
        gevent.spawn(self.react, worker, order)

    def done(self, worker: WorkerId, order: Order) -> None:
        self.broadcast.handle(worker, ORDER_REPLIES.pack(Done(order.number, "done")))

    def refuse(self, worker: WorkerId, order: Order) -> None:
        self.broadcast.handle(worker, ORDER_REPLIES.pack(Refused(order.number, "no")))

    def replace(self) -> None:
        self.broadcast.worker_lost(FIRST)
        self.broadcast.worker_up(REPLACED)
        self.update.worker_up(REPLACED)

    def applied(self, worker: WorkerId) -> list[dict[str, object]]:
        """Return the values that a worker was told to apply."""
        return [
            dict(order.values)
            for one, order in self.told
            if one == worker and isinstance(order, ApplySettings)
        ]

    def come(self, worker: WorkerId) -> list[dict[str, object]]:
        """Bring a worker up; return the values that it was told to apply."""
        self.broadcast.worker_up(worker)
        self.update.worker_up(worker)
        return self.applied(worker)

    def orders(self, worker: WorkerId) -> list[type]:
        return [type(order) for one, order in self.told if one == worker]


def workers(react: Callable[[Workers, WorkerId, Order], None], *up: WorkerId) -> Workers:
    made = Workers(lambda worker, order: react(made, worker, order), *up)
    return made


def test_a_change_that_kills_two_workers_is_reverted() -> None:
    def react(it: Workers, worker: WorkerId, order: Order) -> None:
        if isinstance(order, ApplySettings):
            it.broadcast.worker_lost(worker)
        else:
            it.done(worker, order)

    it = workers(react, FIRST, SECOND)
    with pytest.raises(SettingError, match="2 workers were lost while applying pace; nothing"):
        it.update.set({"pace": 2})
    assert it.update.values == {}


def test_a_change_that_kills_a_worker_and_its_replacement_is_reverted() -> None:
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


def test_the_replacement_of_a_lost_worker_applies_the_change() -> None:
    def react(it: Workers, worker: WorkerId, order: Order) -> None:
        if worker == FIRST and isinstance(order, ApplySettings):
            it.replace()
        else:
            it.done(worker, order)

    it = workers(react, FIRST, SECOND)
    replies, _ = it.update.set({"pace": 2})
    assert it.update.values == {"pace": 2}
    assert {one: bool(reply.answer) for one, reply in replies.items()} == {
        REPLACED: True,
        SECOND: True,
    }
    assert it.orders(REPLACED) == [ApplySettings]
    assert it.orders(SECOND) == [VerifySettings, ApplySettings]


def test_a_change_waits_only_for_the_replacement_of_the_lost_worker() -> None:
    def react(it: Workers, worker: WorkerId, order: Order) -> None:
        if worker == FIRST and isinstance(order, ApplySettings):
            it.broadcast.worker_lost(FIRST)
            it.broadcast.worker_up(THIRD)  # replaces one that was lost before the change
            it.update.worker_up(THIRD)
        else:
            it.done(worker, order)

    it = workers(react, FIRST, SECOND)
    setting = gevent.spawn(it.update.set, {"pace": 2})
    with gevent.Timeout(10):
        while ApplySettings not in it.orders(THIRD):
            gevent.sleep(0)
    for _ in range(20):  # loop turns, so that the answer of THIRD is handled
        gevent.sleep(0)
    assert not setting.ready()
    it.broadcast.worker_up(REPLACED)
    it.update.worker_up(REPLACED)
    with gevent.Timeout(10):
        setting.get()
    assert ApplySettings in it.orders(REPLACED)


def test_a_change_does_not_wait_for_workers_of_a_lost_node() -> None:
    def react(it: Workers, worker: WorkerId, order: Order) -> None:
        if worker != SECOND and isinstance(order, ApplySettings):
            it.update.node_lost([FIRST.worker, OF_SAME_NODE.worker])
            it.broadcast.worker_lost(FIRST)
            it.broadcast.worker_lost(OF_SAME_NODE)
        else:
            it.done(worker, order)

    it = workers(react, FIRST, OF_SAME_NODE, SECOND)
    with gevent.Timeout(REPLACE_S / 2):
        it.update.set({"pace": 2})
    assert it.update.values == {"pace": 2}
    assert it.orders(SECOND) == [VerifySettings, ApplySettings]


@pytest.mark.parametrize("first", ["worker", "node"])
def test_a_change_for_a_node_lost_while_applying_it_is_refused(first: str) -> None:
    def react(it: Workers, worker: WorkerId, order: Order) -> None:
        if not isinstance(order, ApplySettings):
            it.done(worker, order)
            return
        if first == "worker":  # its replacement is awaited until its node is lost, too
            it.broadcast.worker_lost(worker)
            gevent.sleep(0.01)
        it.update.node_lost([worker.worker])
        it.broadcast.worker_lost(worker)

    it = workers(react, FIRST, ELSEWHERE)
    with (
        gevent.Timeout(REPLACE_S / 2),
        pytest.raises(PeerError, match="all workers asked to apply pace were lost; nothing"),
    ):
        it.update.set({"pace": 2}, ["node1"])
    assert it.come(OF_SAME_HOST) == it.come(SECOND) == []


def test_a_change_does_not_wait_for_a_replacement_that_already_applied_it() -> None:
    def react(it: Workers, worker: WorkerId, order: Order) -> None:
        if worker == FIRST and isinstance(order, ApplySettings):
            it.replace()
        elif worker != SECOND or isinstance(order, VerifySettings):
            it.done(worker, order)
            if worker == REPLACED:
                for _ in range(20):  # loop turns, until the answer is handled
                    gevent.sleep(0)
                it.done(SECOND, next(one for to, one in it.told if (to, type(one)) == APPLIED))

    it = workers(react, FIRST, SECOND)
    with gevent.Timeout(REPLACE_S / 2):
        it.update.set({"pace": 2})
    assert it.update.values == {"pace": 2}


def test_a_change_refused_by_a_later_replacement_is_reverted() -> None:
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
    assert it.said == ["no; the change of pace was reverted"]
    assert it.update.values == {}
    assert it.orders(SECOND)[-1] is RevertSettings


def test_a_change_refused_by_a_worker_and_a_replacement_is_reverted_once() -> None:
    def react(it: Workers, worker: WorkerId, order: Order) -> None:
        if worker == FIRST and isinstance(order, ApplySettings):
            it.replace()
        elif worker == REPLACED and isinstance(order, ApplySettings):
            it.refuse(worker, order)
        elif worker == SECOND and isinstance(order, ApplySettings):
            kept.append(order)
        elif worker == SECOND and isinstance(order, RevertSettings):
            it.refuse(SECOND, kept.pop())  # only now, while the change is being reverted
            reverts.append(order)
            gevent.sleep(0.01)
            it.done(worker, order)
        else:
            it.done(worker, order)

    kept: list[Order] = []
    reverts: list[Order] = []
    it = workers(react, FIRST, SECOND)
    with pytest.raises(SettingError, match="no; nothing was changed"):
        it.update.set({"pace": 2})
    assert it.update.values == {}
    assert len(reverts) == 1


def test_a_failure_while_reverting_a_change_is_reported() -> None:
    def react(it: Workers, worker: WorkerId, order: Order) -> None:
        answer = it.done if isinstance(order, VerifySettings) else it.refuse
        answer(worker, order)

    it = workers(react, FIRST)
    with pytest.raises(SettingError, match=r"no; nothing was changed\nwhile reverting it: no"):
        it.update.set({"pace": 2})


def test_of_several_changes_only_the_one_a_replacement_refuses_is_reverted() -> None:
    def react(it: Workers, worker: WorkerId, order: Order) -> None:
        refuses = isinstance(order, ApplySettings) and "user_rate" in order.values
        (it.refuse if worker == REPLACED and refuses else it.done)(worker, order)

    it = workers(react, FIRST, SECOND)
    it.update.set({"pace": 1})
    it.update.set({"user_rate": 600, "pace": 2})
    it.update.set({"size": 3})
    assert it.rates == [600]
    it.replace()
    with gevent.Timeout(10):
        while not it.said:
            gevent.sleep(0)
    assert it.said == ["no; the change of pace, user_rate was reverted"]
    assert it.update.values == {"pace": 1, "size": 3}
    assert it.rates == [600, 1200]  # a start every 50 ms, as initially
    (back,) = [one for worker, one in it.told if worker == SECOND and type(one) is RevertSettings]
    assert (back.values, back.initial) == ({"pace": 1}, ["user_rate"])


def test_workers_that_die_long_after_a_change_do_not_revert_it() -> None:
    def react(it: Workers, worker: WorkerId, order: Order) -> None:
        if worker == REPLACED:
            it.broadcast.worker_lost(worker)
        else:
            it.done(worker, order)

    it = workers(react, FIRST, SECOND)
    it.update.set({"pace": 2})
    for _ in range(3):
        it.replace()
        gevent.sleep(0.01)
    assert it.update.values == {"pace": 2}
    assert not it.said


def test_the_start_rate_remark_is_also_reported_on_revert() -> None:
    def react(it: Workers, worker: WorkerId, order: Order) -> None:
        refuses = worker == REPLACED and isinstance(order, ApplySettings)
        (it.refuse if refuses else it.done)(worker, order)

    it = workers(react, FIRST, SECOND)
    it.rate_remark = "not all have confirmed it"
    _, remark = it.update.set({"user_rate": 600})
    assert remark == "not all have confirmed it"
    it.replace()
    with gevent.Timeout(10):
        while not it.said:
            gevent.sleep(0)
    assert it.said[0].endswith("was reverted; while reverting it: not all have confirmed it")
    assert it.orders(SECOND)[-1] is RevertSettings


def test_older_changes_are_merged_beyond_the_limit() -> None:
    it = workers(Workers.done, FIRST)
    for number in range(3 * MAX_CHANGES):
        it.update.set({f"setting{number % 7}": number})
    it.replace()
    assert it.orders(REPLACED) == [ApplySettings] * MAX_CHANGES
    assert sorted(it.update.values.values()) == list(range(3 * MAX_CHANGES - 7, 3 * MAX_CHANGES))


def test_a_change_for_some_nodes_reaches_their_current_and_later_workers() -> None:
    it = workers(Workers.done, FIRST, ELSEWHERE)
    it.update.set({"pace": 1, "mood": "calm"})
    replies, _ = it.update.set({"pace": 2}, ["there"])
    assert list(replies) == [ELSEWHERE]
    it.update.set({"pace": 3}, ["node1"])
    everywhere = {"pace": 1, "mood": "calm"}
    assert it.orders(FIRST) == [VerifySettings, ApplySettings]
    assert it.applied(ELSEWHERE) == [everywhere, {"pace": 2}, {"pace": 3}]
    assert it.come(SECOND) == [everywhere]
    assert it.come(ELSEWHERE_AGAIN) == [everywhere, {"pace": 2}, {"pace": 3}]
    assert it.come(OF_SAME_HOST) == [everywhere, {"pace": 2}]
    it.update.set({"pace": 4})
    assert [it.applied(one)[-1] for one in (FIRST, ELSEWHERE, OF_SAME_HOST)] == [{"pace": 4}] * 3


def test_a_refused_change_for_some_nodes_is_reverted_on_those_nodes() -> None:
    def react(it: Workers, worker: WorkerId, order: Order) -> None:
        if worker == OF_SAME_HOST and isinstance(order, ApplySettings) and order.values["pace"] > 2:
            it.refuse(worker, order)
        else:
            it.done(worker, order)

    it = workers(react, FIRST, ELSEWHERE, OF_SAME_HOST)
    it.update.set({"pace": 1})
    it.update.set({"pace": 2}, ["node1"])
    with pytest.raises(SettingError, match="no; nothing was changed"):
        it.update.set({"pace": 3, "mood": "wild"}, ["there"])
    back = {one: order for one, order in it.told if isinstance(order, RevertSettings)}
    assert {one: (order.values, order.initial) for one, order in back.items()} == {
        ELSEWHERE: ({"pace": 2}, ["mood"]),
        OF_SAME_HOST: ({"pace": 1}, ["mood"]),
    }


@pytest.mark.parametrize("name", ["user_rate", "interarrival"])
def test_a_start_rate_cannot_be_changed_for_some_nodes(name: str) -> None:
    it = workers(Workers.done, FIRST)
    with pytest.raises(UsageError, match=f"--on-nodes cannot be used with {name}: a run has a"):
        it.update.set({"pace": 1, name: 100}, ["node0"])
    assert not it.told


def test_merged_changes_stay_limited_to_their_nodes() -> None:
    it = workers(Workers.done, FIRST, ELSEWHERE)
    for number in range(3 * MAX_CHANGES):
        it.update.set({"pace": number}, ["here" if number % 2 else "there"])
    last = 3 * MAX_CHANGES - 1
    assert it.come(REPLACED)[-1] == {"pace": last}
    assert it.come(ELSEWHERE_AGAIN)[-1] == {"pace": last - 1}
    assert len(it.applied(REPLACED)) <= MAX_CHANGES // 2 + 1
