"""The API for scenarios, with controller and worker in this process."""

from __future__ import annotations

from collections.abc import Callable
from math import inf
from typing import Any

import pytest

from amoc import coordinator, metrics
from amoc.base import context
from amoc.base.errors import ClosedError, ScenarioError
from amoc.coordinator import init_plans
from amoc.coordinator.controller import Groups
from amoc.coordinator.worker import Actions
from amoc.ipc.messages.codec import pack, unpack
from amoc.ipc.messages.coordinator import (
    COORDINATOR_TO_WORKER,
    CoordinatorStopped,
    CoordinatorToWorker,
)
from amoc.ipc.outbox import Outbox
from amoc.ipc.rpc import Handler
from amoc.ipc.worker_id import WorkerId
from tests.unit.coordinator.connected import Crowd, until

HERE = WorkerId("node0", 0, 1)

met: list[Any] = []


def meet(event: Any, a: Any, b: Any) -> None:
    met.append((event, a, b))


class Alone:
    """A run in one process: init() first, then users."""

    def __init__(self) -> None:
        self.groups = Groups(self._post, 7)
        self.actions: Actions | None = None
        context.active().set(Handler, self._ask)

    def _ask(self, operation: str, arguments: tuple[Any, ...], *_: object) -> Any:
        origin = HERE if self.actions else None
        return self.groups.operations[operation](origin, *unpack(pack(arguments)))

    def _post(self, _origin: WorkerId, record: CoordinatorToWorker) -> None:
        assert self.actions is not None
        self.actions.handle(COORDINATOR_TO_WORKER.pack(record))

    def begin(self, alone: bool = True) -> None:
        outbox = Outbox(lambda _, envelope: self.groups.handle(HERE, envelope.body))
        self.actions = Actions(HERE, outbox, alone=alone)
        context.active().set(Actions, self.actions)
        self.groups.worker_up(HERE)

    def run(self, start: Callable[[int], object], *ids: int) -> Crowd:
        crowd = Crowd(start)
        crowd.start(ids)
        until(lambda: not crowd.alive)
        return crowd


@pytest.fixture
def run() -> Alone:
    met.clear()
    return Alone()


def test_add_adds_the_calling_user_or_the_given_one(run: Alone) -> None:
    coordinator.start("pairs", [(2, meet)])
    run.begin()

    def start(user_id: int) -> None:
        coordinator.add("pairs")
        coordinator.add("pairs", ["data"])
        coordinator.add("pairs", 77, {"a": 1})
        coordinator.add("pairs", 78, None)

    crowd = run.run(start, 5)
    assert not crowd.errors
    until(lambda: len(met) == 2)
    event = coordinator.Event("coordinate", 2)
    assert met == [(event, (5, None), (5, ("data",))), (event, (77, {"a": 1}), (78, None))]


def test_reset_and_stop_include_earlier_adds_of_the_caller(run: Alone) -> None:
    coordinator.start("pairs", (2, meet), timeout=inf)
    run.begin()

    def start(user_id: int) -> None:
        coordinator.add("pairs", "one")
        state = coordinator.state("pairs")
        assert state is not None
        assert (state.name, state.scope, list(state.pending)) == ("pairs", "run", [1])
        coordinator.reset("pairs")
        coordinator.add("pairs", "two")
        coordinator.stop("pairs")
        with pytest.raises(ScenarioError, match="pairs must be started again before it is used"):
            coordinator.add("pairs", "three")
        coordinator.start("pairs", (1, lambda event, users: met.append(users)), timeout=5)
        coordinator.add("pairs", "four")

    crowd = run.run(start, 9)
    assert not crowd.errors
    until(lambda: len(met) == 3)
    assert met == [
        (("reset", 1), (9, "one"), None),
        (("stop", 1), (9, "two"), None),
        ((9, "four"),),
    ]


def test_a_worker_that_does_not_know_a_coordinator_yet_asks_for_it(run: Alone) -> None:
    run.begin(alone=False)

    def start(user_id: int) -> None:
        coordinator.start("pairs", (2, meet))
        assert run.actions is not None
        # As if another worker had started it a moment ago.
        stopped = CoordinatorStopped("pairs", 1, forget=True)
        run.actions.handle(COORDINATOR_TO_WORKER.pack(stopped))
        coordinator.add("pairs", 1, 1)
        coordinator.add("pairs", 2, 2)

    crowd = run.run(start, 5)
    assert not crowd.errors
    until(lambda: met)


def test_a_user_that_adds_very_often_lets_others_run(run: Alone) -> None:
    coordinator.start("all", ("all", met.append))
    run.begin()
    turns: list[str] = []

    def start(user_id: int) -> None:
        for number in range(1 + 2_000 * (user_id == 1)):
            coordinator.add("all", number)
        turns.append(f"user {user_id}")

    assert not run.run(start, 1, 2).errors
    assert turns == ["user 2", "user 1"]
    until(lambda: run.groups.states()[0].adds == 2_002)


def test_users_of_one_process_meet_at_a_barrier(run: Alone) -> None:
    run.begin()

    def start(user_id: int) -> None:
        coordinator.barrier("b", 3, timeout=20)
        met.append(user_id)

    crowd = run.run(start, 1, 2, 3)
    assert not crowd.errors
    assert met == [1, 2, 3]


@pytest.mark.parametrize("name", ["x" * 200, "Пары 1", "[bold]a[/bold]", " ", "a:b=c/{}"])
def test_coordinators_and_barriers_may_have_any_printable_name(run: Alone, name: str) -> None:
    coordinator.start(name, [(2, meet)])
    run.begin()

    def start(user_id: int) -> None:
        coordinator.add(name)
        coordinator.barrier(name, 2)

    assert not run.run(start, 1, 2).errors
    until(lambda: len(met) == 1)
    counted = {metric.name: metric.value for metric in metrics.read()}
    assert counted[f"coordinator.{name}.adds"] == 2


def test_invalid_calls_in_init_are_refused_at_once(run: Alone) -> None:
    coordinator.start("pairs", (2, meet))
    for call, says in (
        (lambda: coordinator.start("pairs", (2, meet)), "pairs is already started"),
        (lambda: coordinator.start("a\nb", (2, meet)), "the name of a coordinator must be text of"),
        (lambda: coordinator.start("x" * 201, (2, meet)), "1 to 200 characters, without control"),
        (lambda: coordinator.start("", (2, meet)), "without control characters, got ''"),
        (lambda: coordinator.start(7, (2, meet)), "without control characters, got 7"),
        (lambda: coordinator.start("x", (2, meet), timeout=0), "timeout of coordinator x must be"),
        (lambda: coordinator.start("x", (2, meet), timeout="5"), "more than 0 s, got '5'"),
        (lambda: coordinator.start("x", (2, meet), scope="all"), 'must be "run" or "node", got'),
        (lambda: coordinator.start("x", []), r"the plan of coordinator x must be"),
        (lambda: coordinator.reset("x"), "coordinator x must be started before it is used"),
        (lambda: coordinator.stop("x"), "coordinator x must be started before it is used"),
    ):
        with pytest.raises(ScenarioError, match=says):
            call()
    coordinator.stop("pairs")
    coordinator.start("pairs", (3, meet))
    assert [taking for *_, taking in init_plans.plans()] == [False, True]


def test_calls_for_users_are_refused_in_init(run: Alone) -> None:
    coordinator.start("pairs", (2, meet))
    with pytest.raises(ClosedError, match=r"coordinator\.add\(.*not in init"):
        coordinator.add("pairs", 5)
    with pytest.raises(ClosedError, match=r"coordinator\.add\(.*not in init"):
        coordinator.add("pairs", 5, None)
    with pytest.raises(ClosedError, match=r"coordinator\.barrier\(.*not in init"):
        coordinator.barrier("b", 2)
    run.begin()
    for call, says in (
        (lambda: coordinator.barrier("b", 0), "for 1 to 10,000,000 users, got 0"),
        (lambda: coordinator.barrier("b", 2.0), "got 2.0"),
        (lambda: coordinator.barrier("b\0c", 2), "the name of a barrier"),
        (lambda: coordinator.barrier("b", 2, timeout=-1), "must be more than 0 s, got -1"),
        (lambda: coordinator.add("pairs", "me", None), "must be given by its id, got 'me'"),
    ):
        with pytest.raises(ScenarioError, match=says):
            call()
