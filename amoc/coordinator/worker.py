"""A worker's side of all coordinators: it sends adds, and runs actions.

Adds within about a millisecond are sent together. Groups are run in order of arrival by a few
greenlets, so that an action may wait: one greenlet runs group after group, and when an action
yields to the event loop, another greenlet takes the next group. So groups start in the order in
which they arrived, and end in any order. The parts of one group, such as the items at a timeout,
are run one after the other. At most `MAX_RUNNERS` actions wait at a time; further groups are queued
here, and then at the controller.

A plan started in init() is inherited through the fork, so its actions may be any function. A plan
started by a user needs actions that every worker can find: top-level functions of a module.
"""

from __future__ import annotations

import traceback
from collections import deque
from collections.abc import Callable, Sequence
from contextlib import suppress
from functools import partial
from typing import NoReturn

from gevent import get_hub, getcurrent
from greenlet import greenlet

from amoc import metrics
from amoc.base import guard, pause
from amoc.base.clock import MS_NS, now_ns
from amoc.base.errors import ScenarioError
from amoc.base.open_gate import OpenGate
from amoc.coordinator import init_plans
from amoc.coordinator.barrier_worker import WorkerBarriers
from amoc.coordinator.counters import OF_EVENT, Counters
from amoc.coordinator.function_refs import found
from amoc.coordinator.plan import Event, Item, arguments
from amoc.ipc.messages import codec
from amoc.ipc.messages import coordinator as messages
from amoc.ipc.messages.envelope import Part
from amoc.ipc.outbox import Outbox
from amoc.ipc.worker_id import WorkerId
from amoc.metrics.coordinator_counts import Counted
from amoc.metrics.optional import Count
from amoc.scenario.events import COORDINATOR_ADD, COORDINATOR_EXECUTE

MAX_RUNNERS = 1_000
TURN_NS = 2 * MS_NS
"""How long actions run before the event loop gets a turn, if they do not yield themselves."""
GATHERED = 1_000
GATHERED_BYTES = 1 << 16
"""Adds that are sent without waiting for more: their number, or the size of their data."""
MAX_DATA = 1 << 16
"""Most bytes of data with one add."""


class _Adding:
    """A worker's state of a coordinator that takes adds."""

    __slots__ = ("at_ns", "count", "data", "ids", "incarnation", "name", "size")

    def __init__(self, name: str, incarnation: int) -> None:
        self.name = name
        self.incarnation = incarnation
        self.count: Count | None = None  # counter of adds, from the first one on
        self.clear()

    def clear(self) -> None:
        self.ids: list[int] = []
        self.at_ns: list[int] = []
        self.data: list[bytes] = []
        self.size = 0


class _Runner(greenlet):
    """Runs groups until there are none, then waits to be switched to."""

    def __init__(self, actions: Actions) -> None:
        greenlet.__init__(self, None, get_hub())
        self._actions = actions

    def run(self) -> None:
        while True:
            guard.call(self._actions.report, self._serve)
            with suppress(ValueError):  # idle when an action's late timeout was raised in it
                self._actions.idle.remove(self)

    def _serve(self) -> NoReturn:
        hub, actions = get_hub(), self._actions
        while True:
            actions.run_some()
            actions.idle.append(self)
            hub.switch()


class Actions:
    """Sends adds, and runs the actions of the groups that this worker receives.

    Attributes:
        worker: The worker's id.
        barriers: This worker's users that wait at barriers.
        room: Open while the queue to the controller has room.
        alone: Whether the controller is in this process, so that any function can be an action.
        adding: The coordinators that take adds, by name.
        plans: Plans, by name and incarnation of the coordinator.
        runners: Number of greenlets that run groups, idle ones included.
        idle: The idle ones.
        report: Called with exceptions of actions.
    """

    def __init__(
        self,
        worker: WorkerId,
        outbox: Outbox,
        report: Callable[[BaseException], object] = traceback.print_exception,
        alone: bool = False,
        room: OpenGate | None = None,
    ) -> None:
        """Create the side of one worker. init() must have run, as its plans are taken over.

        Args:
            worker: The worker.
            outbox: The queue to the controller.
            report: See the attribute.
            alone: See the attribute.
            room: Open while the queue to the controller has room; None means always.
        """
        self.worker = worker
        self.barriers = WorkerBarriers(worker, outbox)
        self.room = room or OpenGate()
        self.alone = alone
        self.idle: list[_Runner] = []
        self._outbox = outbox
        self._send = outbox.sender(Part.COORDINATOR, messages.COORDINATOR_TO_CONTROLLER)
        self.report = report
        self._packer = codec.packer()
        self.plans: dict[tuple[str, int], list[Item]] = {}
        self.adding: dict[str, _Adding] = {}
        self._counters: dict[str, Counters] = {}
        self._gathered: list[_Adding] = []
        self._queue: deque[tuple[int, str, int, Sequence[messages.PartFields]]] = deque()
        self._acted: list[int] = []
        self.runners = 0
        self._turn_due = False
        self._delay = metrics.built_in(metrics.Timer, "coordinator_action_delay")
        for name, incarnation, items, taking in init_plans.plans():
            self.plans[name, incarnation] = items
            if taking:
                self.adding[name] = _Adding(name, incarnation)

    def __repr__(self) -> str:
        busy = self.runners - len(self.idle)
        return f"<actions of {self.worker}: {len(self._queue)} groups to run, {busy} running>"

    def is_acting(self) -> bool:
        """Return whether the caller is an action."""
        return isinstance(getcurrent(), _Runner)

    def counters(self, name: str) -> Counters:
        """Return this worker's counters of a coordinator."""
        found = self._counters.get(name)
        if found is None:
            found = self._counters[name] = Counters(name)
        return found

    # Adds.

    def add(self, name: str, user_id: int, data: object) -> bool:
        """Add a user; the add is sent about a millisecond later.

        Returns:
            Whether there were so many adds in a row that the caller should yield.

        Raises:
            KeyError: This worker knows no such coordinator.
            ScenarioError: `data` cannot be sent.
        """
        adding = self.adding[name]
        try:
            packed = self._packer.pack(data)
        except (TypeError, ValueError, OverflowError, RecursionError) as error:
            raise ScenarioError(
                f"data added to coordinator {name} must consist of None, booleans, numbers, text,"
                f" bytes, lists and dictionaries, but {error}"
            ) from None
        if len(packed) > MAX_DATA:
            raise ScenarioError(
                f"data added to coordinator {name} must have at most {MAX_DATA:,} bytes, got"
                f" {len(packed):,}"
            )
        ids = adding.ids
        if not ids:
            if not self._gathered:
                self._outbox.at_flush(self._flush_adds)
            self._gathered.append(adding)
        ids.append(user_id)
        adding.at_ns.append(now_ns())
        adding.data.append(packed)
        adding.size += len(packed)
        if adding.count is None:
            adding.count = self.counters(name)[Counted.ADDS]
        adding.count.inc()
        if COORDINATOR_ADD.subscribers:
            COORDINATOR_ADD(user_id, coordinator=name)
        if len(ids) < GATHERED and adding.size < GATHERED_BYTES:
            return False
        self._put_adds(adding)
        return True

    def _flush_adds(self) -> None:
        gathered, self._gathered = self._gathered, []
        for adding in gathered:
            self._put_adds(adding)

    def _put_adds(self, adding: _Adding) -> None:
        if adding.ids:
            record = messages.CoordinatorAdds(
                adding.name, adding.incarnation, adding.ids, adding.at_ns, adding.data
            )
            adding.clear()
            self._send(self.worker, record)

    def flush(self) -> None:
        """Send pending adds now, before anything that is put into the outbox later."""
        self._flush_adds()
        self._outbox.flush()

    # Messages from the controller.

    def handle(self, body: bytes | memoryview) -> None:
        """Process an envelope from the controller."""
        for record in messages.COORDINATOR_TO_WORKER.unpack_stream(body):
            match record:
                case messages.CoordinatorGroups(groups):
                    self._queue.extend(groups)
                    self._turn_later()
                case messages.CoordinatorPlan(name, incarnation, functions):
                    self.learn(name, incarnation, found(functions))
                case messages.CoordinatorStopped(name, incarnation, forget):
                    self._stopped(name, incarnation, forget)
                case messages.BarrierRelease():
                    self.barriers.release(record)
                case messages.BarrierWithdrawals():
                    self.barriers.withdrawn(record)
                case messages.BarrierRefusal():
                    self.barriers.refused(record)

    def learn(self, name: str, incarnation: int, items: list[Item]) -> None:
        """Record that a coordinator was started with the plan `items`."""
        self.plans.setdefault((name, incarnation), items)
        adding = self.adding.get(name)
        if adding is None or adding.incarnation < incarnation:
            self.adding[name] = _Adding(name, incarnation)

    def _stopped(self, name: str, incarnation: int, forget: bool) -> None:
        adding = self.adding.get(name)
        if adding is not None and adding.incarnation <= incarnation:
            self._put_adds(adding)  # the controller decides about them
            del self.adding[name]
        if forget:
            self.plans.pop((name, incarnation), None)
            if name not in self.adding:
                self._counters.pop(name, None)

    # Running groups.

    def _turn_later(self) -> None:
        if not self._turn_due:
            self._turn_due = True
            get_hub().loop.run_callback(self._turn)

    def _turn(self) -> None:
        """Let a runner take the queued groups; runs in the hub."""
        self._turn_due = False
        if not self._queue:
            return
        if pause.clock.since_ns:
            greenlet(self._resume, get_hub()).switch()
            return
        if self.idle:
            runner = self.idle.pop()
        elif self.runners < MAX_RUNNERS:
            self.runners += 1
            runner = _Runner(self)
        else:
            return  # the next idle runner takes over
        self._turn_later()  # in case an action waits
        runner.switch()

    def _resume(self) -> None:
        self._turn_due = True  # prevents further turns meanwhile
        pause.wait_resumed()
        self._turn_due = False
        self._turn_later()

    def run_some(self) -> None:
        """Run groups for `TURN_NS`, or until there are none."""
        until_ns = now_ns() + TURN_NS
        queue = self._queue
        while queue and not pause.clock.since_ns:
            number, name, incarnation, parts = queue.popleft()
            self._run_group(name, incarnation, parts)
            if not self._acted:
                self._outbox.at_flush(self._acknowledge)
            self._acted.append(number)
            if now_ns() >= until_ns:
                break
        if queue:
            self._turn_later()

    def _acknowledge(self) -> None:
        acted, self._acted = self._acted, []
        self._send(self.worker, messages.CoordinatorActed(acted))

    def _run_group(self, name: str, incarnation: int, parts: Sequence[messages.PartFields]) -> None:
        """Run a group, and count and report whatever it raises, as a runner must survive it."""
        items = self.plans.get((name, incarnation))
        failed = partial(self._failed, name)
        for one in parts:
            guard.call(failed, self._run_part, name, items, messages.GroupPart(*one), failed)

    def _run_part(
        self,
        name: str,
        items: list[Item] | None,
        part: messages.GroupPart,
        failed: Callable[[BaseException], None],
    ) -> None:
        self._delay.record_ns(now_ns() - part.at_ns)
        counters = self.counters(name)
        counters[Counted.GROUPS].inc()
        if part.kind in OF_EVENT and part.item == 0:
            counters[OF_EVENT[part.kind]].inc()
        if items is None:
            raise ScenarioError(f"this worker has no plan of coordinator {name}")
        if COORDINATOR_EXECUTE.subscribers:
            COORDINATOR_EXECUTE(coordinator=name, item=part.item, kind=part.kind, size=part.size)
        event, users = Event(part.kind, part.size), _users(name, part)
        for function, form in items[part.item].actions:
            for arguments_ in arguments(form, event, users):
                guard.call(failed, function, *arguments_)

    def _failed(self, name: str, error: BaseException) -> None:
        self.counters(name)[Counted.ACTION_ERRORS].inc()
        self.report(error)


def _users(name: str, part: messages.GroupPart) -> tuple[tuple[int, object], ...]:
    try:
        return tuple(
            (user_id, codec.unpack_data(data))
            for user_id, data in zip(part.ids, part.data, strict=True)
        )
    except Exception as error:
        # For example a dictionary as the key of another: it can be packed, but not unpacked.
        raise ScenarioError(
            f"data added to coordinator {name} must be readable where its actions run, but"
            f" {error}; the actions of this group are not run"
        ) from error
