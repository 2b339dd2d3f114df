"""The controller: one per run. It decides everything and runs no scenario code.

A run goes through phases, each with a deadline: the nodes join, load the scenario and resolve the
settings; servers that come with the run (an embedded XMPP server) are started; init() runs; the
workers start; users are dealt to them until the run ends; users leave, terminate() runs, and all
processes exit. A failure at any point ends in one message, one exit code, and the same cleanup.

Each wait for the nodes is a function of `phases`. `RunLoop` covers the time in which users run.
Whatever happens meanwhile is handled by the parts in `Services`: commands, throttles, coordinators.
"""

from __future__ import annotations

import logging
import shutil
import traceback
from collections.abc import Callable, Iterable
from functools import partial

import gevent

from amoc.base import pause, process, ticks
from amoc.base.clock import S_NS, now_ns
from amoc.base.errors import AmocError, InitError, PeerError
from amoc.base.loop_guard import Killed, guard_loop
from amoc.base.operator_log import OperatorLog
from amoc.base.text import counted
from amoc.base.tracebacks import describe, trace_of
from amoc.control.answers import Answer
from amoc.control.commands import Command, is_read
from amoc.control.server import ControlServer
from amoc.ipc.messages.envelope import Envelope
from amoc.ipc.messages.lifecycle import Hello, Loaded, Note, Output, WorkerLost, WorkerUp
from amoc.ipc.messages.links import FromNode
from amoc.ipc.messages.placement import Layout
from amoc.ipc.messages.samples import Sample, Sampled, is_acknowledged
from amoc.ipc.messages.users import Blocked, CrashSeen, FailureSeen, Started, TargetSeen, UsersNow
from amoc.ipc.worker_id import WorkerId
from amoc.runtime import logs
from amoc.runtime.controller import phases, scenario_commands
from amoc.runtime.controller.agreement import agreed, check_fds, layout_for, together, with_seats
from amoc.runtime.controller.chosen_nodes import named
from amoc.runtime.controller.node_joins import NodeJoins
from amoc.runtime.controller.node_loss import NodeLoss
from amoc.runtime.controller.nodes import Nodes
from amoc.runtime.controller.run import Run
from amoc.runtime.controller.run_files import RunFiles
from amoc.runtime.controller.run_loop import RunLoop
from amoc.runtime.controller.run_results import RunResults
from amoc.runtime.controller.run_state import Step, after
from amoc.runtime.controller.services import Services
from amoc.runtime.controller.status import OperatorEvent, Outcome, Status
from amoc.runtime.controller.stop_requests import Interrupted, StopRequests
from amoc.runtime.embedded_xmpp import TLS_VERIFY, EmbeddedXmpp
from amoc.runtime.launched import Launched
from amoc.runtime.orphans import REAP_S, Orphans
from amoc.scenario import events, plugins
from amoc.scenario.run_plan import RunPlan
from amoc.users.placement import Placement
from amoc.users.placement_strategies import NodeFacts
from amoc.users.run import STOP

TICK_S = 1.0
"""How often held lines of the log are looked at."""

_log = logging.getLogger(__name__)


class Controller:
    """Runs one scenario from start to end.

    Attributes:
        status: The state of the run, always up to date.
    """

    def __init__(
        self,
        plan: RunPlan,
        launched: Launched,
        on_line: Callable[[str], None] = print,
        on_event: Callable[[str, str], None] = lambda *_: None,
        meanwhile: Callable[[], object] = lambda: None,
    ) -> None:
        """Take over a run that has been launched.

        Args:
            plan: What to run.
            launched: The run's processes; closed at the end.
            on_line: Receives each line that a process of the run prints.
            on_event: Receives what the operator should read: a level and a line.
            meanwhile: Called while nodes start their workers, to load slow modules in that time.
        """
        self._plan = plan
        self._on_line = on_line
        self._on_event = on_event
        self._meanwhile = meanwhile
        self._operator = OperatorLog(self._report)
        self._launched, run_id = launched, launched.run_id
        self.status = Status(plan=plan, run_id=run_id)
        self._xmpp: EmbeddedXmpp | None = None
        self._services: Services | None = None
        self._files = RunFiles(plan, run_id, self._operator.warning)
        self._results = RunResults(self.status, self._files, self._operator)
        self._run = Run(plan, self.status, self._files, self._results, self._operator)
        self._stops = StopRequests(self._run)
        self._control: ControlServer | None = None
        self._begun_ns = 0
        self._ended = "ok"

    def interrupt(self) -> None:
        """Ask the run to end: gracefully the first time, at once the second time."""
        self._stops.by_signal()
        self._nodes.changed.ring()

    def operate(self, command: Command, source: str) -> Answer:
        """Carry out a command; see `amoc.runtime.controller.commands`.

        Raises:
            AmocError: It is refused; nothing was changed.
        """
        if self._services is None:
            raise PeerError(f"the run has not started yet, so it cannot {command.name}")
        answer = self._services.commands.operate(command, source)
        if not is_read(command.name):
            self._results.annotate(answer.summary, command.comment, "command", command.name)
        self._nodes.changed.ring()
        return answer

    def run(self) -> Outcome:
        """Run to the end. Failures of the run itself are in the outcome, not raised."""
        process.raise_fd_limit()
        self._orphans = Orphans()
        self._loss = NodeLoss(self._run, self._orphans, self._launched.directory)
        pause.reset()
        logs.begin("controller", self._plan.log_level)
        logs.attach(self._operator)
        unguard_loop = guard_loop(self._failed_in_loop)
        events.happen_in("controller")
        failure: AmocError | None = None
        try:
            for node in self._launched.nodes:
                node.watch(self._on_line)
            with self._launched.parent as parent:
                nodes = self._nodes = Nodes(
                    parent,
                    self._launched.nodes,
                    self._take,
                    self._check,
                    lambda node, error: self._loss.go_on_without(self._services, node, error),
                    self._plan.ids[-1],
                )
                self._joins = NodeJoins(self._run, self._launched, nodes, self._on_line)
                self._tasks: list[gevent.Greenlet[..., None]] = [
                    gevent.spawn(self._nodes.guarded, self._nodes.listen),
                    gevent.spawn(self._nodes.guarded, self._results.beat),
                    gevent.spawn(self._nodes.guarded, self._results.work),
                    gevent.spawn(self._nodes.guarded, ticks.forever, TICK_S, logs.tick),
                ]
                try:
                    self._go_through_phases()
                except Exception as error:
                    failure = (
                        error if isinstance(error, AmocError) else AmocError(traceback.format_exc())
                    )
                    self._fail_run(failure)
                finally:
                    outcome = self._clean_up(failure)
        finally:
            self._launched.close()
            unguard_loop()
            events.happen_in("")
            logs.end()
        return outcome

    def _go_through_phases(self) -> None:
        plan, nodes = self._plan, self._nodes
        self._step(Step.LAUNCH)
        if loaded_plugins := plugins.load("controller"):  # only plugins start programs here
            note_own = self._orphans.note_own, nodes.are_running
            self._tasks.append(gevent.spawn(ticks.forever, REAP_S, *note_own))
        of_nodes = phases.load(nodes, plan, loaded_plugins)
        self.status.nodes = of_nodes
        loaded = self.status.loaded = agreed(of_nodes)
        seats, by_slots = self._launched.launcher.seats, plan.arrivals is not None
        some = named(nodes.all, plan.on_nodes, may_come=seats > len(nodes.all))
        only = [nodes.all.index(node) for node in some]
        facts = [
            NodeFacts(node.name, node.launched.host, one.workers, one.cores)
            for node, one in zip(nodes.all, of_nodes.values(), strict=True)
        ]
        layout = with_seats(layout_for(plan, facts, only), seats, by_slots=by_slots)
        nodes.number_workers(layout.workers[: len(nodes.all)])
        self._results.loaded(loaded)
        placement = Placement(layout)
        check_fds(plan, placement, list(of_nodes.values()))
        journal = self._files.begin(loaded, self._launched.started_at)
        for plugin in loaded_plugins:
            self._operator.info(f"plugin {plugin} is loaded")
        self._files.write("state", state=self.status.state.value)
        for node in nodes.all:
            self._files.write("node", **node.to_json(), state="up")
        services = self._services = Services(
            self._run, loaded, nodes, placement, journal, self._step
        )
        self._xmpp = self._embedded_xmpp(loaded)
        services.calls.operations.update({**self._xmpp.operations, STOP: self._stop_run})
        services.calls.operations.update(scenario_commands.operations(self.operate))
        self._init(services, layout)
        phases.wait_workers(nodes, loaded.workers, lambda: len(services.broadcast.workers))
        self._step(Step.READY)
        assert self._files.directory is not None
        control = self._files.directory.control
        self._control = ControlServer(control, self.operate, partial(self._operator.show, "trace"))
        self._control.start()
        self._run_users(services)
        self._step(Step.STOP)
        self._joins.end()
        self._stop()
        if self._ended == "ok":
            services.check_rates()
        self._step(Step.ALL_LEFT)

    def _stop_run(self, _: WorkerId | None, reason: str) -> None:
        """Let the scenario end the run; only the first call counts."""
        assert self._services is not None
        if self._stops.by_scenario(reason):
            self._services.commands.stop_asked = True
            self._nodes.changed.ring()

    # Phases

    def _embedded_xmpp(self, loaded: Loaded) -> EmbeddedXmpp:
        values = {name: value for name, value, *_ in loaded.settings}
        if values.get(TLS_VERIFY) == str(False):
            self._operator.warning(f"{TLS_VERIFY} is false: users accept any certificate")

        def started(address: str, text: str) -> None:
            self._results.connects_to(f"{address} (embedded XMPP server)")
            self._operator.info(text)

        most = self._plan.most_users * loaded.fds_per_user
        return EmbeddedXmpp(values, most, self._on_line, started)

    def _init(self, services: Services, layout: Layout) -> None:
        assert self._files.directory is not None
        logs_directory = str(self._files.directory.logs.resolve())
        logs.open_directory(logs_directory)
        for node in self._launched.nodes:
            node.keep_logs(logs_directory)
        ready = together(
            phases.init(self._nodes, self._plan, logs_directory, layout, self._meanwhile)
        )
        self._results.ready(ready)
        services.relay.want(ready.events)
        self._joins.prepare(services, layout, ready.calls, logs_directory)
        for operation, arguments in ready.calls:
            try:
                services.calls.do(None, operation, *arguments)
            except AmocError as refused:
                raise InitError(f"init() of {self._plan.scenario}: {refused}") from None

    def _run_users(self, services: Services) -> None:
        self._begun_ns = now_ns()
        self._files.users_may_start(self._begun_ns)
        self._results.begin(self._begun_ns, services.throttles, services.untaken, services.latency)
        services.begin()
        assert self._files.directory is not None
        events.RUN_START(
            run_id=self.status.run_id,
            scenario=self._plan.scenario,
            directory=str(self._files.directory.path.resolve()),
        )
        services.relay.begin()
        self._joins.begin(self._begun_ns)
        loop = RunLoop(self._run, services, self._nodes, self.operate)
        self._ended = loop.run(self._begun_ns, lambda: self._stops.signals > 0)

    def _stop(self) -> None:
        pause.resume()
        self._results.stop(now_ns())
        stopped = phases.stop_users(self._nodes, self._plan)
        if stopped.killed:
            users = counted(stopped.killed, "user")
            timeout = f"{self._plan.stop_timeout_s:g} s (--stop-timeout)"
            self._operator.warning(
                f"{users} did not finish within {timeout} and were stopped forcibly"
            )
        phases.terminate(self._nodes, self._plan, stopped)
        if self._loss.at_end:
            raise PeerError("; ".join(self._loss.at_end))

    def _clean_up(self, failure: AmocError | None) -> Outcome:
        """Leave nothing running, whatever happened; return the outcome of the run."""
        ended_ns = now_ns()
        if self._services is not None:
            self._services.end()
        self._joins.end()
        self._orphans.note_own(self._nodes.are_running)
        self._nodes.end(at_once=failure is not None)
        shutil.rmtree(
            self._launched.directory, ignore_errors=True
        )  # from here on, being killed leaves nothing behind
        for node in self._nodes.present:
            if Hello in node.seen:
                events.NODE_DOWN(node=node.name, reason=str(failure or ""))
        for node in self._nodes.all if self._begun_ns else ():
            if worst_ns := node.launched.clock_bounds_ns[1]:
                fields = {"name": node.name, "clock_bound_s": worst_ns / S_NS}
                self._files.write("node", **fields, state="clock")
        self._results.close()
        if self._xmpp is not None:
            self._xmpp.end()
        for one in self._orphans.end():
            self._operator.warning(f"{one} was started by a user and cannot be killed")
        # From now on this process may work for long without returning to its event loop.
        gevent.killall(self._tasks, exception=Killed)
        outcome = self._results.end(self._ended, failure, ended_ns)
        if self._control is not None:
            self._control.stop()  # a run with neither control socket nor summary counts as killed
        summary, code = outcome.summary, int(outcome.exit_code)
        verdict = self._ended if summary is None else summary["run"]["verdict"]
        events.RUN_STOP(run_id=self.status.run_id, verdict=verdict, exit_code=code)
        return outcome

    # Messages

    def _take(self, node: str, record: FromNode) -> None:
        if self._joins.keep(node, record):
            return
        match record:
            case WorkerUp() | WorkerLost() | Started() | UsersNow() | Envelope():
                assert self._services is not None  # workers exist only after it does
                self._services.handle(node, record)
                if isinstance(record, WorkerLost):
                    self._results.worker_lost(record)
            case Sample():
                if self._services is not None:
                    self._services.sampled(record)
                self._results.handle(node, record, lambda: self._taken(node, record))
            case CrashSeen():
                self._results.crashed(record)
            case FailureSeen():
                self._results.failed(record)
            case TargetSeen():
                self._results.connects_to(record.address)
            case Blocked():
                self._results.blocked(record)
            case Note(level, text):
                self._operator.show(level, text)
            case Output(lines):
                self._print(lines)

    def _print(self, lines: Iterable[str]) -> None:
        for line in lines:
            self._on_line(line)

    def _taken(self, node: str, sample: Sample) -> None:
        """Acknowledge a processed sample, which may have ended the run."""
        if is_acknowledged(sample):
            self._nodes.send_once(node, Sampled(sample.sequence))
        self._nodes.changed.ring()

    def _check(self) -> None:
        """Raise the error that ends the run early, for reasons other than a node's."""
        self._stops.check(begun=self._begun_ns > 0)
        if self._xmpp is not None:
            self._xmpp.check()

    def _report(self, level: str, text: str) -> None:
        if level != "trace":
            at_s = (now_ns() - self._begun_ns) / S_NS if self._begun_ns else 0.0
            self.status.events.append(OperatorEvent(at_s, level, text))
        self._files.write("event", level=level, text=text)
        self._on_event(level, text)

    def _failed_in_loop(self, what: object, error: BaseException) -> None:
        """Report a failed greenlet or callback, most likely a plugin's."""
        self._operator.error(
            f"{what!r} in the controller raised {describe(error)}", trace_of(error)
        )

    def _step(self, step: Step) -> None:
        self.status.state = after(self.status.state, step)
        _log.info("the run is %s", self.status.state.value)
        self._files.write("state", state=self.status.state.value)

    def _fail_run(self, error: AmocError) -> None:
        self._ended = "interrupted" if isinstance(error, Interrupted) else "failed"
        self._step(Step.FAIL)
