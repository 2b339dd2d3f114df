"""Nodes that join while users run: each is started like the initial nodes, in parallel.

Nothing uses a node until its workers are up: its workers' reports are kept, and processed when the
node joins. So a node that does not get that far leaves nothing behind.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial
from typing import NamedTuple, TypeVar

import gevent
from gevent.pool import Group

from amoc.base.clock import S_NS, now_ns
from amoc.base.errors import AmocError, PeerError
from amoc.base.text import counted
from amoc.ipc.messages.lifecycle import Init, Loaded, Ready, WorkerLost, WorkerUp
from amoc.ipc.messages.links import FromNode
from amoc.ipc.messages.placement import Layout
from amoc.ipc.messages.samples import Sample, Sampled, is_acknowledged
from amoc.runtime.controller.agreement import agreed, layout_for
from amoc.runtime.controller.node_state import Node
from amoc.runtime.controller.nodes import Nodes
from amoc.runtime.controller.phases import EACH_WORKER_UP_S, WORKERS_UP_S
from amoc.runtime.controller.run import Run
from amoc.runtime.controller.services import FromWorkers, Services
from amoc.runtime.launched import Launched
from amoc.scenario import events, fd_budget
from amoc.users.placement import Placement, turns_of
from amoc.users.placement_strategies import NodeFacts

LOOK_S = 0.05
MAX_KEPT = 10_000
"""Most kept reports of a node that has not joined yet; its workers have few to send before that."""

M = TypeVar("M")


class _Coming(NamedTuple):
    """A node that has not joined yet."""

    node: Node
    kept: list[FromWorkers | Sample]
    """Reports of its workers, and its own about them."""


class NodeJoins:
    """Starts nodes that arrive while users run, and lets them take part."""

    def __init__(
        self, run: Run, launched: Launched, nodes: Nodes, on_line: Callable[[str], None]
    ) -> None:
        """Create it; no node is accepted before `begin`.

        Args:
            run: The run.
            launched: Its launch; the launcher accepts new nodes.
            nodes: The present nodes.
            on_line: Receives each line that a process of a new node prints.
        """
        self._run = run
        self._launched = launched
        self._nodes = nodes
        self._on_line = on_line
        self._coming: dict[str, _Coming] = {}
        self._tasks = Group()

    def prepare(
        self,
        services: Services,
        layout: Layout,
        known_calls: Sequence[tuple[str, Sequence[object]]],
        logs_directory: str,
    ) -> None:
        """Record what new nodes need, once the initial nodes are present.

        Args:
            services: The controller's parts.
            layout: The layout, with seats for new nodes.
            known_calls: Calls made by init() on the initial nodes. They are not repeated for a new
                node, as their effects may have been changed since.
            logs_directory: Directory for logs.
        """
        self._services = services
        self._layout = layout
        self._known_calls = known_calls
        self._logs_directory = logs_directory

    def begin(self, begun_ns: int) -> None:
        """Accept nodes from now on; users could start at `begun_ns`."""
        self._begun_ns = begun_ns
        self._tasks.spawn(self._nodes.guarded, self._accept)

    def _accept(self) -> None:
        placement = Placement(self._layout)
        for launched in self._launched.launcher.newcomers():
            node = self._nodes.expect(launched, placement.numbers(launched.number))
            coming = self._coming[node.name] = _Coming(node, [])
            self._tasks.spawn(self._nodes.guarded, partial(self._join, coming))

    def end(self) -> None:
        """Accept no more nodes; those that were joining have ended when this returns."""
        self._tasks.kill()
        why = "the run ended before it had joined"
        self._nodes.give_up_all((node, why) for node, _ in self._coming.values())
        self._coming.clear()

    def keep(self, name: str, record: FromNode) -> bool:
        """Keep a worker's report if its node has not joined yet; return whether it was kept."""
        coming = self._coming.get(name)
        if coming is None or not isinstance(record, FromWorkers | Sample):
            return False
        node, kept = coming
        if isinstance(record, Sample):
            if is_acknowledged(record):
                self._nodes.send_once(name, Sampled(record.sequence))
            if Ready not in node.seen:  # it still numbers its workers as if it were the only node
                record = record._replace(workers=[], together=[], first=node.workers.start)
        if len(kept) < MAX_KEPT:
            kept.append(record)
        else:
            node.failure = PeerError(f"its workers sent more than {MAX_KEPT:,} reports")
        return True

    def _join(self, coming: _Coming) -> None:
        node, host = coming.node, coming.node.launched.host
        try:
            self._run.operator.info(f"{node.name} on {host} is joining")
            loaded = self._bring_up(coming)
            users = self._let_in(coming, loaded)
        except AmocError as error:
            self._nodes.give_up(node, str(error))
            del self._coming[node.name]
            self._run.operator.error(f"{node.name} on {host} cannot join: {error}")
            return
        up_to = "" if self._run.plan.arrivals is None else "up to "
        begin = "start there" if self._run.plan.arrivals is None else "run there at a time"
        only = "" if self._is_named(node) else ", since --on-nodes names others"
        self._run.operator.info(
            f"{node.name} on {host} has joined with {counted(len(node.workers), 'worker')};"
            f" {up_to}{counted(users, 'user')} will {begin}{only}"
        )
        events.NODE_UP(node=node.name)

    def _bring_up(self, coming: _Coming) -> Loaded:
        """Let a node load the scenario, run init() and fork its workers; return what it loaded.

        Raises:
            AmocError: It fails before its workers are up.
        """
        node, kept = coming
        plan, launched = self._run.plan, node.launched
        launched.watch(self._on_line)
        launched.keep_logs(self._logs_directory)
        self._launched.begin(plan, launched, len(node.workers))
        loaded = self._wait(node, Loaded, launched.hello_s + plan.init_timeout_s, "load")
        first = next(iter(self._run.status.nodes.items()))
        agreed(dict([first, (node.name, loaded)]))
        self._nodes.send(node.name, Init(self._logs_directory, self._layout))
        ready = self._wait(node, Ready, plan.init_timeout_s, "return from init()")
        for call in ready.calls:
            if call not in self._known_calls:
                operation, arguments = call
                self._services.calls.do(None, operation, *arguments)
        self._services.relay.want(ready.events)
        deadline_s = WORKERS_UP_S + EACH_WORKER_UP_S * len(node.workers)

        def are_up() -> bool:
            last = {one.worker: one for one in kept if isinstance(one, WorkerUp | WorkerLost)}
            return sum(isinstance(one, WorkerUp) for one in last.values()) == len(node.workers)

        self._until(node, are_up, deadline_s, "start its workers")
        return loaded

    def _let_in(self, coming: _Coming, loaded: Loaded) -> int:
        """Let a node take part, now that its workers are up; return how many users it gets.

        Raises:
            AmocError: It cannot take its users; nothing was changed.
        """
        node, kept = coming
        there = [*self._nodes.present, node]
        of_nodes = {**self._run.status.nodes, node.name: loaded}
        facts = [
            NodeFacts(one.name, one.launched.host, len(one.workers), of_nodes[one.name].cores)
            for one in there
        ]
        only = [at for at, one in enumerate(there) if self._is_named(one)]
        layout = layout_for(self._run.plan, facts, only)
        turns = turns_of(layout, [one.workers.start for one in there])
        share = sum(one in node.workers for one in turns) / len(turns)
        arrivals = self._run.plan.arrivals
        of_slots = arrivals.max_users if arrivals is not None else 0
        users = round(share * (self._services.starts.waiting() + of_slots))
        fd_budget.check_fds(users, loaded.workers, loaded.fds_per_user, loaded.fd_limit)
        # From here on nothing yields, so no other greenlet sees a half-joined node.
        self._run.status.nodes = of_nodes
        del self._coming[node.name]
        self._nodes.join(node, (now_ns() - self._begun_ns) / S_NS)
        for report in kept:
            if isinstance(report, Sample):
                self._run.status.samples.take(node.name, report)
            else:
                self._services.handle(node.name, report)
        self._run.files.write("node", **node.to_json(), state="up")
        return self._services.node_users.join(node, turns)

    def _is_named(self, node: Node) -> bool:
        """Return whether users may be placed on it."""
        names = self._run.plan.on_nodes
        return not names or not {*names}.isdisjoint(node.names)

    def _wait(self, node: Node, kind: type[M], deadline_s: float, what: str) -> M:
        self._until(node, lambda: kind in node.seen, deadline_s, what)
        report = node.seen[kind]
        assert isinstance(report, kind)
        return report

    def _until(
        self, node: Node, condition: Callable[[], bool], deadline_s: float, what: str
    ) -> None:
        give_up = now_ns() + int(deadline_s * S_NS)
        while not condition():
            if (failure := self._nodes.failure_of(node)) is not None:
                raise failure
            if now_ns() > give_up:
                raise PeerError(f"it did not {what} within {deadline_s:g} s")
            gevent.sleep(LOOK_S)
