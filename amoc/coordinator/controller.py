"""The controller's side of all coordinators: it forms groups of adds, and sends them to workers.

No code of the scenario runs here, and the data of users stay packed. A complete group goes to a
worker that has one of its users (`amoc.coordinator.assignment`), which runs the actions and
acknowledges. Until then the group is kept, and goes to another worker if that one dies. So actions
run at least once, and twice only if a worker died before its acknowledgement arrived.

An add belongs to the worker it came from. When that worker is lost, its adds in incomplete groups
are dropped and counted: its users start again and add again.

Everything is bounded. A worker has a limited number of groups to run, more are queued here. A
coordinator that holds `MAX_HELD` adds and groups, or `MAX_HELD_BYTES` of data, refuses adds until
it holds less; they are counted, and the first is reported.

Timeouts do not run while the run is paused.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping, Sequence
from typing import NoReturn

from amoc.base.clock import S_NS, now_ns
from amoc.base.errors import ScenarioError
from amoc.base.node_latency import NodeLatency
from amoc.base.operator_log import OperatorLog
from amoc.base.pause import PauseClock
from amoc.base.text import counted
from amoc.base.waiting import Notify
from amoc.coordinator.assignment import MAX_TRIES
from amoc.coordinator.barrier_controller import Barriers
from amoc.coordinator.coordinator import Entry, Started
from amoc.coordinator.group_runs import GroupRuns
from amoc.coordinator.plan import RESET, STOP, Shape
from amoc.ipc.messages import coordinator as messages
from amoc.ipc.rpc import Later
from amoc.ipc.worker_id import WorkerId
from amoc.scenario.events import (
    COORDINATOR_RESET,
    COORDINATOR_START,
    COORDINATOR_STOP,
    COORDINATOR_TIMEOUT,
)

SCOPES = ("run", "node")
MAX_HELD = 1_000_000
"""Adds of one coordinator in incomplete groups, plus groups that have not been run."""
MAX_HELD_BYTES = 256 << 20
"""Their data; counted once for each item of the plan."""
MAX_COORDINATORS = 10_000
MAX_UNFINISHED = 1_000
"""Stopped coordinators that may be reported at the end of the run."""

Post = Callable[[WorkerId, messages.CoordinatorToWorker], None]

_log = logging.getLogger(__name__)


class Groups:
    """Holds all coordinators and barriers of a run.

    Attributes:
        operations: The calls of scenarios, see `amoc.ipc.rpc`.
        started: Running coordinators, by name.
        ended: Stopped coordinators that still have groups to run.
        barriers: The barriers.
    """

    def __init__(
        self,
        post: Post,
        seed: int,
        operator: OperatorLog | None = None,
        now: Callable[[], int] = now_ns,
        latency: NodeLatency | None = None,
    ) -> None:
        """Create the controller's side.

        Args:
            post: Queues a message for a worker.
            seed: The run's seed, for random group sizes.
            operator: Warned when adds are refused or groups given up.
            now: The monotonic clock.
            latency: Round-trip time to the farthest node.
        """
        self._post = post
        self._seed = seed
        self._operator = operator or OperatorLog()
        self._now = now
        self.started: dict[str, Started] = {}
        self._incarnations: dict[str, int] = {}
        self.ended: set[Started] = set()
        self._stopped_inits: list[tuple[str, int]] = []
        self._runs = GroupRuns(post, self._forget)
        self._lost: dict[tuple[str, int], int] = {}
        self._late = 0
        self._unfinished: list[str] = []
        self._clock = PauseClock(now)
        self._bell = Notify()
        self._sleeping_until_ns: int | None = None
        self.barriers = Barriers(post, now, latency)
        self.operations: Mapping[str, Callable[..., object]] = {
            "coordinator.start": self._start,
            "coordinator.find": self._find,
            "coordinator.reset": self._reset,
            "coordinator.stop": self._stop,
            "coordinator.state": lambda _, name: self._known(name).state(),
        }

    def __repr__(self) -> str:
        acting = sum(one.acting for one in self.started.values())
        return f"<groups of {len(self.started)} coordinators, {acting} to be run>"

    # Calls of scenarios.

    def _start(
        self,
        origin: WorkerId | None,
        name: str,
        shapes: Sequence[tuple[int, int, bool]],
        timeout_s: float | None,
        scope: str,
        functions: Sequence[Sequence[str]] | None,
    ) -> int:
        timeout_ns = None if timeout_s is None else round(timeout_s * S_NS)
        known_shapes = [Shape(*shape) for shape in shapes]
        new = Started(name, known_shapes, timeout_ns, scope, functions, self._seed)
        known = self.started.get(name)
        if known is not None:
            if origin is None and known.same_as(new):
                return known.incarnation  # init() of another node
            raise ScenarioError(f"coordinator {name} is already started")
        if len(self.started) >= MAX_COORDINATORS:
            raise ScenarioError(
                f"coordinator {name} cannot be started: a run has at most {MAX_COORDINATORS:,}"
                " coordinators at a time, and that many are running"
            )
        new.incarnation = self._incarnations[name] = self._incarnations.get(name, 0) + 1
        self.started[name] = new
        for worker in self._runs.workers:
            self._announce(worker, new)
        _log.info("coordinator %s is started", name)
        sizes = [(shape.least, shape.most) for shape in known_shapes]
        COORDINATOR_START(coordinator=name, sizes=sizes, timeout_s=timeout_s, scope=scope)
        return new.incarnation

    def _find(self, _origin: WorkerId | None, name: str) -> tuple[int, object]:
        one = self._known(name)
        return one.incarnation, one.functions

    def _reset(self, _origin: WorkerId | None, name: str, wait: bool = False) -> Later | None:
        done = self._end_batches(self._known(name), RESET)
        self._runs.send()
        COORDINATOR_RESET(coordinator=name)
        return done if wait else None

    def _stop(self, _origin: WorkerId | None, name: str, wait: bool = False) -> Later | None:
        one = self._known(name)
        one.stopped = True
        del self.started[name]
        self.ended.add(one)
        for worker in self._runs.workers:
            self._post(worker, messages.CoordinatorStopped(name, one.incarnation, forget=False))
        done = self._end_batches(one, STOP)
        self._runs.send()
        if not one.acting:
            self._forget(one)
        _log.info("coordinator %s is stopped", name)
        COORDINATOR_STOP(coordinator=name)
        return done if wait else None

    def states(self) -> list[messages.CoordinatorState]:
        """Return the state of each coordinator."""
        return [one.state() for one in self.started.values()]

    def unfinished(self) -> list[str]:
        """Return one line per coordinator about what it has not done, for the end of the run."""
        everything = [*self.started.values(), *self.ended]
        lines = [*self._unfinished, *(one.unfinished() for one in everything)]
        if self._late:
            lines.append(f"{counted(self._late, 'add')} came after the coordinator was stopped")
        return [line for line in lines if line]

    def _known(self, name: str) -> Started:
        one = self.started.get(name)
        if one is None:
            ended = " again" if name in self._incarnations else ""
            raise ScenarioError(f"coordinator {name} must be started{ended} before it is used")
        return one

    # Workers.

    def worker_up(self, origin: WorkerId) -> None:
        """Let a worker run actions from now on."""
        if origin in self._runs.workers:
            return
        for name, incarnation in self._stopped_inits:
            self._post(origin, messages.CoordinatorStopped(name, incarnation, forget=True))
        for one in self.ended:
            self._announce(origin, one)
            self._post(origin, messages.CoordinatorStopped(one.name, one.incarnation, forget=False))
        for one in self.started.values():
            self._announce(origin, one)
        self._runs.up(origin)
        self._runs.send()

    def worker_lost(self, origin: WorkerId) -> None:
        """Give a lost worker's groups to others, and drop its adds."""
        self._lost[origin.node, origin.worker] = origin.incarnation
        for one in self.started.values():
            one.drop(origin)
        self.barriers.worker_lost(origin)
        for name in self._runs.lost(origin):
            self._operator.warning(
                f"gave up a group of coordinator {name}: {MAX_TRIES} workers died while running it"
            )
        self._runs.send()

    def _announce(self, worker: WorkerId, one: Started) -> None:
        if one.functions is not None:
            self._post(worker, messages.CoordinatorPlan(one.name, one.incarnation, one.functions))

    def handle(self, origin: WorkerId, body: bytes | memoryview) -> None:
        """Process a worker's envelope.

        Raises:
            PeerError: It is malformed.
        """
        if origin.incarnation <= self._lost.get((origin.node, origin.worker), 0):
            return  # its users start again, and repeat all they do here
        if origin not in self._runs.workers:
            self.worker_up(origin)
        for record in messages.COORDINATOR_TO_CONTROLLER.unpack_stream(body):
            match record:
                case messages.CoordinatorAdds():
                    self._take(origin, record)
                case messages.CoordinatorActed(numbers):
                    self._runs.acknowledged(origin, numbers)
                case messages.BarrierArrivals():
                    self.barriers.arrive(origin, record)
                case messages.BarrierWithdrawals():
                    self.barriers.withdraw(origin, record)
        self._runs.send()

    # Adds to groups.

    def _take(self, origin: WorkerId, record: messages.CoordinatorAdds) -> None:
        one = self.started.get(record.name)
        if one is None or one.incarnation != record.incarnation:
            self._late += len(record.ids)
            return
        size = sum(map(len, record.data)) * len(one.shapes)
        too_many = one.held() + len(record.ids) > MAX_HELD
        if too_many or one.held_bytes + size > MAX_HELD_BYTES:
            if not one.refused:
                what = f"{MAX_HELD:,}" if too_many else f"{MAX_HELD_BYTES >> 20} MiB of"
                self._operator.warning(
                    f"coordinator {one.name} holds {what} adds and groups to run, its limit:"
                    " further adds are refused; check what its actions are waiting for"
                )
            one.refused += len(record.ids)
            return
        one.adds += len(record.ids)
        one.held_bytes += size
        entries = [
            Entry(origin, *rest) for rest in zip(record.ids, record.data, record.at_ns, strict=True)
        ]
        batches = one.of(origin.node)
        groups = batches.add(entries, self._clock.run_ns())
        for group in groups:
            last = group.entries[-1]
            self._runs.add(one, [group], last.at_ns)
        due_ns = batches.due_ns
        if due_ns is not None and (
            self._sleeping_until_ns is None or due_ns < self._sleeping_until_ns
        ):
            self._sleeping_until_ns = due_ns
            self._bell.ring()

    def _end_batches(self, one: Started, kind: str) -> Later:
        """End the groups of every connected node, or the single set of the run."""
        ended = [
            batches.end(kind) for batches in one.all(origin.node for origin in self._runs.workers)
        ]
        return self._runs.end(one, ended, self._now())

    # Timeouts.

    def pause_run(self) -> None:
        """Stop the timeouts with the run."""
        self._clock.pause()

    def resume_run(self) -> None:
        """Let the timeouts run again."""
        if self._clock.resume():
            self._bell.ring()

    def next_due_s(self) -> float | None:
        """Return in how many seconds to call `tick`; None if that is not known yet."""
        due = [
            batches.due_ns
            for one in self.started.values()
            for batches in one.batches.values()
            if batches.due_ns is not None
        ]
        self._sleeping_until_ns = min(due, default=None)
        if self._sleeping_until_ns is None or self._clock.since_ns:
            return None
        return max(0, self._sleeping_until_ns - self._clock.run_ns()) / S_NS

    def tick(self) -> None:
        """End the groups of coordinators whose timeout has passed."""
        if self._clock.since_ns:
            return
        at_ns = self._clock.run_ns()
        for one in self.started.values():
            for batches in one.batches.values():
                groups = batches.expire(at_ns)
                if groups:
                    one.timeouts += 1
                    self._runs.end(one, [groups], self._now(), wanted=False)
                    COORDINATOR_TIMEOUT(coordinator=one.name, groups=len(groups))
        self._runs.send()

    def run(self) -> NoReturn:
        """Tick when something is due. Runs in its own greenlet for the whole run."""
        while True:
            seconds = self.next_due_s()
            if seconds is None:
                self._bell.wait()
            else:
                # A timer may fire early because the loop caches the time.
                self._bell.wait(seconds + 0.0005)
                self.tick()

    def _forget(self, one: Started) -> None:
        """Remove a stopped coordinator whose groups have all been run."""
        self.ended.discard(one)
        if len(self._unfinished) < MAX_UNFINISHED:
            self._unfinished.append(one.unfinished())
        if one.functions is None:
            self._stopped_inits.append((one.name, one.incarnation))
        for worker in self._runs.workers:
            self._post(worker, messages.CoordinatorStopped(one.name, one.incarnation, forget=True))
