"""The parts of the controller that have a side in every worker, and the messages between them.

A new worker learns the state of everything before it gets users: throttles, changed settings,
whether the run is paused. A lost worker is removed from all parts, which give to others what it
held.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from math import inf, isfinite

import gevent

from amoc.base.clock import S_NS
from amoc.base.clock import now_ns as monotonic_ns
from amoc.base.errors import UsageError
from amoc.base.loop_guard import Killed
from amoc.base.node_latency import NodeLatency
from amoc.base.text import counted
from amoc.coordinator.controller import Groups
from amoc.feed.controller import Feeds
from amoc.ipc.messages.coordinator import COORDINATOR_TO_WORKER
from amoc.ipc.messages.envelope import BETWEEN_WORKERS, Envelope, Part
from amoc.ipc.messages.events import EVENTS
from amoc.ipc.messages.feed import FEED_TO_WORKER
from amoc.ipc.messages.lifecycle import Loaded, WorkerLost, WorkerUp
from amoc.ipc.messages.orders import ORDERS, Pause
from amoc.ipc.messages.rpc import ANSWERS
from amoc.ipc.messages.samples import Sample
from amoc.ipc.messages.throttle import THROTTLE_TO_WORKER
from amoc.ipc.messages.users import Started, UsersNow
from amoc.ipc.outbox import ControllerEnd, Outbox
from amoc.ipc.rpc import Later, RpcServer
from amoc.ipc.worker_id import WorkerId
from amoc.metrics.reserved import KIND
from amoc.results.journal import Journal
from amoc.results.series import ThrottlePoint
from amoc.runtime.controller.arrival_control import ArrivalControl
from amoc.runtime.controller.chosen_nodes import ChosenNodes
from amoc.runtime.controller.commands import Commands
from amoc.runtime.controller.event_relay import EventRelay
from amoc.runtime.controller.node_state import Node
from amoc.runtime.controller.node_users import NodeUsers
from amoc.runtime.controller.nodes import Nodes
from amoc.runtime.controller.orders import Broadcast
from amoc.runtime.controller.ramp_down import RampDown
from amoc.runtime.controller.run import Run
from amoc.runtime.controller.run_state import State, Step
from amoc.runtime.controller.settings_update import SettingsUpdate
from amoc.runtime.controller.stage_groups import StageGroups
from amoc.runtime.controller.start_queue import ALL, StartQueue
from amoc.runtime.controller.user_queries import UserQueries
from amoc.scenario import events
from amoc.scenario.arrivals import ARRIVAL_RATE
from amoc.scenario.run_plan import RunPlan
from amoc.scenario.start_rate import USER_RATE, first_rate, start_rate
from amoc.throttle.controller import Pacer
from amoc.users.placement import Placement

FromWorkers = WorkerUp | WorkerLost | Started | UsersNow | Envelope
MINUTE_S = 60.0
"""Interval of `user_rate`."""
START_RATE_S = 5.0
"""How long workers may take to confirm a new start rate."""
ALL_SLOTS = 1 << 62
MAX_NAMED = 20
"""Most throttles named in a message."""


class Services:
    """The controller's parts while there are workers.

    Attributes:
        broadcast: Sends orders to all workers and waits for them.
        starts: The users still to be dealt.
        node_users: Deals them to nodes.
        calls: Carries out the calls of scenarios.
        relay: Sends events to the scenario's subscribers.
        commands: The commands of operators.
        arrivals: The run's arrival rate, if it has one.
        stages: The stages of the run's users.
        latency: Shortest round trip to the farthest node.
    """

    def __init__(
        self,
        run: Run,
        loaded: Loaded,
        nodes: Nodes,
        placement: Placement,
        journal: Journal,
        step: Callable[[Step], None],
    ) -> None:
        """Create the parts, without workers.

        Args:
            run: The run.
            loaded: What the nodes have loaded.
            nodes: The connections to the nodes.
            placement: The worker of each user.
            journal: Records commands.
            step: Takes the run to its next state.
        """
        plan, status, operator = run.plan, run.status, run.operator
        self._run = run
        self._nodes = nodes
        self._there: dict[int, WorkerId] = {}
        self._arrival_slots: dict[int, int] = {}  # used by lost workers
        self._quiet_ns = 0
        self.latency = NodeLatency()
        self._measured_ns = 0
        self._ended = self._has_new_worker = False
        self._user_queries = UserQueries(nodes, status.samples.take_users)
        self._outbox = Outbox(
            lambda worker, envelope: nodes.post(worker.node, envelope), 0, nodes.send_posted
        )
        sender = self._outbox.sender
        self.broadcast = Broadcast(sender(Part.CONTROL, ORDERS))
        there = sum(len(one.workers) for one in nodes.all)
        self.starts = StartQueue(placement, _pace(plan, loaded), there)
        self.node_users = NodeUsers(plan, nodes, placement, self.starts, self._starts_per_s)
        self.calls = RpcServer(sender(Part.CALLS, ANSWERS))
        to_throttles = sender(Part.THROTTLE, THROTTLE_TO_WORKER)
        self._pacer = Pacer(to_throttles, rates=plan.rates, operator=operator, latency=self.latency)
        to_coordinators = sender(Part.COORDINATOR, COORDINATOR_TO_WORKER)
        self._groups = Groups(to_coordinators, plan.seed, operator, latency=self.latency)
        self._feeds = Feeds(sender(Part.FEED, FEED_TO_WORKER), operator)
        self.relay = EventRelay(sender(Part.EVENTS, EVENTS))
        for part in (self._pacer, self._groups, self._feeds):
            self.calls.operations.update(part.operations)
        self._parts: Mapping[Part, ControllerEnd] = {
            Part.THROTTLE: self._pacer.handle,
            Part.COORDINATOR: self._groups.handle,
            Part.FEED: self._feeds.handle,
            Part.CONTROL: self.broadcast.handle,
            Part.CALLS: self.calls.handle,
        }
        self._settings_update = SettingsUpdate(
            self.broadcast, loaded.pacing, self._change_start_rate, operator, nodes.names_of
        )
        self.commands = Commands(
            status,
            self.broadcast,
            self.starts,
            self._settings_update,
            self._query_users,
            self._part_states,
            self._pacer.change_rate,
            (self._pacer, self._groups),
            step,
            journal,
            plan.ids,
            placement,
            ChosenNodes(nodes, placement, self.node_users.whereabouts),
        )
        self.stages = StageGroups(
            plan,
            start_rate(*loaded.pacing),
            lambda ids: RampDown(
                self.broadcast, status, self.starts, self._query_users, ids, placement
            ),
            self.commands.add_users,
            self.commands.add_ids,
            self.latency,
        )
        self.arrivals = ArrivalControl(self._pacer, plan.arrivals) if plan.arrivals else None
        self._pacer.start(USER_RATE, ["constant", _first_rate(plan, loaded)], MINUTE_S)
        down = [one.run for one in self.stages.ramp_downs]
        clocks = (self._pacer.run, self._groups.run, *down)
        self._clocks: list[gevent.Greenlet[..., None]] = [
            gevent.spawn(nodes.guarded, one) for one in clocks
        ]

    def begin(self) -> None:
        """Let users start."""
        for text in self._unused_rates("init() started"):
            self._run.operator.warning(text)
        mixed = any(name.startswith(KIND) for name in self._run.status.totals.known)
        for text in self._feeds.too_short_for(self._run.plan.users_of, mixed=mixed):
            self._run.operator.info(text)
        self._pacer.begin()
        self.node_users.begin()
        if self.arrivals is not None:
            self.arrivals.begin()
        if self._run.plan.users and self._run.plan.loads is None:
            self.commands.add_users(len(self._run.plan.users))

    def check_rates(self) -> None:
        """Check that the run has started all throttles for which a rate was given.

        Raises:
            UsageError: Some were not started, so this was not the requested run.
        """
        if unused := self._unused_rates("the run started"):
            raise UsageError("; ".join(unused))

    def _unused_rates(self, who: str) -> list[str]:
        started = ", ".join(list(self._pacer.throttles)[:MAX_NAMED])
        return [
            f"--throttle {name}=…: {who} no throttle {name}; started: {started}"
            for name in self._pacer.unused_rates
        ]

    def end(self) -> None:
        """Stop pacing and timing; wait for no worker's reply any more."""
        self.relay.end()
        self._ended = True
        for worker in list(self.broadcast.workers):
            self.broadcast.worker_lost(worker)
        gevent.killall(self._clocks, exception=Killed)
        for text in self._groups.unfinished():
            self._run.operator.warning(text)

    def _change_start_rate(self, per_minute: float) -> str:
        """Change the rate at which users start; return a remark for the operator, or nothing."""
        later = self.calls.do(None, "throttle.change_rate", USER_RATE, per_minute, MINUTE_S, True)
        if isinstance(later, Later) and not later.wait(START_RATE_S):
            return f"not all workers have confirmed the new start rate within {START_RATE_S:g} s"
        return ""

    # Workers

    def handle(self, node: str, record: FromWorkers) -> None:
        """Process a report of a worker, or of its node about it."""
        match record:
            case Envelope():
                part, worker, incarnation = record.header()
                if part in BETWEEN_WORKERS:
                    self._nodes.pass_on(record)
                elif (origin := self._there.get(worker)) and origin.incarnation == incarnation:
                    self._parts[part](origin, record.body)
            case Started(worker, number):
                self.starts.started(worker, number)
            case UsersNow():
                self._user_queries.handle(node, record)
            case WorkerUp():
                self._worker_up(node, record)
            case WorkerLost(worker, incarnation, reason, arrival_slots):
                self.starts.down(worker)
                before = self._arrival_slots.get(worker, 0)  # of earlier incarnations
                self._arrival_slots[worker] = arrival_slots
                self._forget(WorkerId(node, worker, incarnation), arrival_slots - before)
                events.WORKER_DOWN(node=node, worker=worker, incarnation=incarnation, reason=reason)
                self._run.operator.error(f"{reason}; its metrics are kept")

    def _forget(self, worker: WorkerId, arrival_slots: int) -> None:
        """Remove a lost worker, which had used `arrival_slots`; give what it held to others."""
        if self._there.pop(worker.worker, None) is not None:
            for one in (self.broadcast, self._groups, self._feeds, self.relay):
                one.worker_lost(worker)
            self._pacer.worker_lost(worker, {ARRIVAL_RATE: arrival_slots})

    def node_lost(self, node: Node, restart: bool) -> tuple[int, int]:
        """Move the users of a lost node to the others.

        Args:
            node: The node.
            restart: Whether its users that have not left restart.

        Returns:
            How many of its users restart, and how many do not.
        """
        self._settings_update.node_lost(node.workers)
        for worker in node.workers:
            if (there := self._there.get(worker)) is not None:
                # The slots it has used are unknown; unused ones are counted at the end.
                self._forget(there, ALL_SLOTS)
        self._run.status.samples.drop_users_now(node.name)
        again, lost, dealt = self.node_users.lose(node, restart)
        if self.arrivals is not None:  # users started by slots do not restart
            lost += max(0, self._run.status.samples.users_on(node.name) - dealt)
        for one in self.stages.ramp_downs:
            one.moved(node.workers)
        return again, lost

    def _measure(self, now_ns: int) -> None:
        """Update the distance of the farthest node from its clock's bound, once a second."""
        if now_ns - self._measured_ns < S_NS:
            return
        bounds = [node.launched.clock_bounds_ns[0] for node in self._nodes.present]
        self.latency.round_trip_ns = 2 * max(bounds, default=0)
        self._measured_ns = now_ns

    def _worker_up(self, node: str, up: WorkerUp) -> None:
        self._measure(monotonic_ns())
        origin = WorkerId(node, up.worker, up.incarnation)
        self._there[up.worker] = origin
        for part in (self.broadcast, self._pacer, self._groups, self.relay):
            part.worker_up(origin)
        self._settings_update.worker_up(origin)
        if self._run.status.state is State.PAUSED:
            self.broadcast.tell(origin, Pause)
        self._has_new_worker = True
        self.starts.up(up.worker, up.restart, up.start)
        events.WORKER_UP(node=node, worker=up.worker, incarnation=up.incarnation, pid=up.pid)
        if up.incarnation > 1:
            again = f"{counted(len(up.restart), 'user')} to restart"
            self._run.operator.info(f"worker {up.worker} was replaced; {again}")

    # Users

    def deal(self, now_ns: int) -> None:
        """Deal users to the workers that have room for them."""
        self._measure(now_ns)
        if self._has_new_worker:  # a new worker must learn the state before its first user starts
            self._has_new_worker = False
            self._outbox.flush()
        self.node_users.deal(now_ns)
        if self.starts.waiting() or self.starts.outstanding:
            self._quiet_ns = now_ns

    def _starts_per_s(self, now_ns: int) -> float:
        start_rate = self._pacer.throttles[USER_RATE]
        return start_rate.value_at(now_ns) / (start_rate.interval_s or 1 / inf)

    def all_left(self) -> bool:
        """Return whether no user is left and none will start, according to the latest sample."""
        samples = self._run.status.samples
        known = not self.starts.waiting() and not self.starts.outstanding
        return known and samples.at_ns > self._quiet_ns and not samples.expected

    # State

    def sampled(self, sample: Sample) -> None:
        """Record which users have left, according to a node's sample."""
        if (whereabouts := self.node_users.whereabouts) is not None:
            whereabouts.gone((first, count) for first, count in sample.gone)

    def _query_users(self, keep: int = -1, ids: range = ALL) -> UsersNow | None:
        """Ask for the users' state, and update the run's status; see `UserQueries.query`."""
        return None if self._ended else self._user_queries.query(keep, ids)

    def _part_states(self) -> dict[str, list[dict[str, object]]]:
        """Return the state of the parts for `amoc status`."""
        return {
            "nodes": [
                {**one.to_json(), "state": "lost" if one.lost else "up", "reason": one.lost}
                for one in self._nodes.all
            ],
            "throttles": [one._asdict() for one in self._pacer.states()],
            "coordinators": [one._asdict() for one in self._groups.states()],
            "feeds": [one._asdict() for one in self._feeds.states()],
            "barriers": [
                {"name": name, "waiting": waiting, "users": users}
                for name, (waiting, users) in self._groups.barriers.waiting().items()
            ],
        }

    def untaken(self) -> int:
        """Return how many iterations found no free user in time, since the last call."""
        return self.arrivals.take_untaken() if self.arrivals is not None else 0

    def throttles(self, at_ns: int) -> dict[str, ThrottlePoint]:
        """Return each throttle's present rate, and its counts since the last call up to `at_ns`."""
        now_ns, points = monotonic_ns(), {}
        for name, taken in self._pacer.take(at_ns).items():
            if (one := self._pacer.throttles.get(name)) is None:
                points[name] = ThrottlePoint(wanted=taken.wanted, missed=taken.missed)
                continue
            rate = one.value_at(now_ns)
            points[name] = ThrottlePoint(
                rate if isfinite(rate) else None,
                one.interval_s,
                one.mode_text,
                missed=taken.missed,
                wanted=taken.wanted,
            )
        return points


def _pace(plan: RunPlan, loaded: Loaded) -> float:
    """Return how many users per second may start that have no time from a stage.

    Without stages all users start at the start rate, and nothing else limits them. With stages
    there is no start rate by default, but users start no faster than at the steepest rise of the
    stages.
    """
    if plan.stages is None:
        return inf
    # If both are 0, the start rate's own throttle holds all starts until it is changed.
    return max(plan.stages.steepest_per_s, start_rate(*loaded.pacing) / MINUTE_S) or inf


def _first_rate(plan: RunPlan, loaded: Loaded) -> float:
    """Return the initial start rate, in users per minute."""
    sources = {name: source for name, _, source, *_ in loaded.settings}
    return first_rate(plan.own_starts, sources, *loaded.pacing)[0]
