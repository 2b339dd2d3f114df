"""Both sides of coordinators in one process: the controller's, and those of some workers."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import gevent

from amoc.base.clock import now_ns
from amoc.base.operator_log import OperatorLog
from amoc.coordinator import init_plans
from amoc.coordinator.controller import Groups
from amoc.coordinator.function_refs import references
from amoc.coordinator.plan import parse
from amoc.coordinator.worker import Actions
from amoc.ipc.messages.codec import pack, unpack
from amoc.ipc.messages.coordinator import COORDINATOR_TO_WORKER, CoordinatorToWorker
from amoc.ipc.messages.envelope import Envelope, Part
from amoc.ipc.outbox import Outbox
from amoc.ipc.worker_id import WorkerId
from amoc.users.user import User

DEADLINE_S = 60.0


def until(condition: Callable[[], Any], what: str = "") -> Any:
    """Let the loop run until `condition` returns a true value, and return it."""
    give_up = now_ns() + int(DEADLINE_S * 1e9)
    while not (value := condition()):
        assert now_ns() < give_up, what or condition
        gevent.sleep(0.001)
    return value


class Worker:
    """A worker's side, whose connection can be cut."""

    def __init__(self, cluster: Cluster, origin: WorkerId) -> None:
        self.origin = origin
        self.alive = True
        self.deaf = False
        """Whether messages to it are kept in `unheard` instead of being delivered."""
        self.unheard: list[bytes] = []
        self.failures: list[BaseException] = []
        self._cluster = cluster
        self.outbox = Outbox(self._send)
        self.actions = Actions(origin, self.outbox, self.failures.append)

    def _send(self, worker: WorkerId, envelope: Envelope) -> None:
        assert worker == self.origin
        assert envelope.header() == (Part.COORDINATOR, worker.worker, worker.incarnation)
        if self.alive:
            self._cluster.groups.handle(self.origin, envelope.body)

    def handle(self, body: bytes) -> None:
        if self.deaf:
            self.unheard.append(body)
        elif self.alive:
            self.actions.handle(body)

    def add(self, name: str, user_id: int, data: object = None) -> None:
        self.actions.add(name, user_id, data)


class Cluster:
    """The controller's side, and the workers that are up."""

    def __init__(self, seed: int = 7, now: Callable[[], int] = now_ns) -> None:
        self.notes: list[str] = []
        self.sent: list[tuple[WorkerId, CoordinatorToWorker]] = []
        self.workers: dict[WorkerId, Worker] = {}
        self.groups = Groups(
            self._post, seed, OperatorLog(lambda _, text: self.notes.append(text)), now
        )

    def _post(self, origin: WorkerId, record: CoordinatorToWorker) -> None:
        self.sent.append((origin, record))
        self.workers[origin].handle(COORDINATOR_TO_WORKER.pack(record))

    def up(
        self, worker: int, incarnation: int = 1, node: str = "node0", deaf: bool = False
    ) -> Worker:
        origin = WorkerId(node, worker, incarnation)
        worker = self.workers[origin] = Worker(self, origin)
        worker.deaf = deaf
        self.groups.worker_up(origin)
        return worker

    def lose(self, worker: Worker) -> None:
        worker.alive = False
        del self.workers[worker.origin]
        self.groups.worker_lost(worker.origin)

    def ask(self, operation: str, *arguments: Any, origin: WorkerId | None = None) -> Any:
        """Make a call; it and its answer are packed and unpacked."""
        there = unpack(pack(arguments))
        answer = self.groups.operations[f"coordinator.{operation}"](origin, *there)
        return unpack(pack(answer))

    def start_in_init(
        self, name: str, plan: Any, timeout: float | None = None, scope: str = "run"
    ) -> None:
        """Do what init() does, before there are workers."""
        items = parse(name, plan)
        init_plans.start(name, items)
        self.ask("start", name, [item.shape for item in items], timeout, scope, None)

    def start_by_user(
        self, worker: Worker, name: str, plan: Any, timeout: float | None = None
    ) -> None:
        items = parse(name, plan)
        shapes = [item.shape for item in items]
        functions = references(name, items)
        incarnation = self.ask(
            "start", name, shapes, timeout, "run", functions, origin=worker.origin
        )
        worker.actions.learn(name, incarnation, items)

    def quiet(self) -> bool:
        """Return whether all groups have been run."""
        return not any(one.acting for one in self.groups.states())

    def flush(self) -> None:
        for worker in list(self.workers.values()):
            worker.actions.flush()


class Crowd:
    """The parts of a user pool that a user needs."""

    seed = 0
    repeat_num = 1.0
    repeat_interval_s = 0.0
    crash_pause_s = 0.1
    wait_turn = None

    def __init__(self, start: Callable[[int], object]) -> None:
        self.states: dict[int, int] = {}
        self.run_once = start
        self.errors: dict[int, BaseException] = {}
        self.alive: dict[int, User] = {}

    def crashed(self, user: User, error: BaseException) -> None:
        self.errors[user.id] = error

    def iteration_ended(self, user: User) -> None: ...

    def left(self, user: User) -> None:
        self.alive.pop(user.id, None)

    def turn_away(self, user_id: int) -> None: ...

    def start(self, ids: Sequence[int]) -> None:
        for user_id in ids:
            user = self.alive[user_id] = User(user_id, self)
            gevent.get_hub().loop.run_callback(user.switch)
