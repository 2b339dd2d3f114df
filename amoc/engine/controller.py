"""The controller: one per run. It decides everything and runs no scenario code.

A run goes through phases, each with a deadline: the node joins, loads the scenario and resolves the
settings; what the run brings with it (an embedded server) is started; init() runs; the workers come
up; users are dealt to them at the start rate until the run ends; users leave, terminate() runs,
everybody goes. Whatever fails in between ends in one message and one exit code, and in the same
cleaning up.
"""

from __future__ import annotations

import os
import shutil
import signal
import traceback
from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from math import inf
from typing import Any

import gevent
import zmq
from gevent.event import Event

from amoc import bus, limits
from amoc.engine import link, pacing, placement, process
from amoc.engine.run import Happening, Outcome, RunPlan, Status
from amoc.engine.state import State, Step, after
from amoc.errors import AmocError, ExitCode, InitError, PeerError
from amoc.launch import xmppd
from amoc.launch.child import ChildProcess
from amoc.lines import counted
from amoc.messages import (
    Bootstrap,
    CrashSeen,
    Failed,
    Hello,
    Init,
    Loaded,
    Note,
    Output,
    Ready,
    Record,
    Sample,
    Started,
    Stopped,
    StopUsers,
    Terminate,
    Terminated,
    WorkerLost,
    WorkerUp,
)
from amoc.timing import S_NS, now_ns

NODE = "node0"
JOIN_S = 15.0
WORKERS_UP_S = 30.0
EACH_WORKER_UP_S = 0.5
SILENT_S = 15.0
"""A node that reports nothing for so long counts as lost: it samples every second."""
LEAVE_S = 5.0
STOP_MARGIN_S = 20.0
"""On top of --stop-timeout: the node itself kills what hangs, well before this."""
ROOM_FOR_IDS = 1_000_000
"""Ids above the highest of the first users for which the board has bytes."""
DEAL_S = 0.02
IDLE_S = 0.1


class Interrupted(AmocError):
    """The operator wants the run to end at once."""

    exit_code = ExitCode.INTERRUPTED


class Controller:
    """Runs one scenario from start to end.

    Attributes:
        status: How the run is, always up to date.
    """

    def __init__(
        self,
        plan: RunPlan,
        on_line: Callable[[str], None] = print,
        on_event: Callable[[str, str], None] = lambda *_: None,
    ) -> None:
        """Plan a run.

        Args:
            plan: What to run.
            on_line: Gets each line that a process of the run prints.
            on_event: Gets what the operator should read: a level and a line.
        """
        self._plan = plan
        self._on_line = on_line
        self._on_event = on_event
        self.status = Status(plan=plan)
        self._changed = Event()
        self._failure: AmocError | None = None
        self._interrupts = 0
        self._seen: dict[type, Record] = {}
        self._up: set[int] = set()
        self._causes: set[str] = set()
        self._pacing: pacing.StartPlan | None = None
        self._heard_ns = self._listened_ns = now_ns()
        self._begun_ns = 0
        self._ended_ns = 0
        self._started_at = datetime.now(UTC)
        self._verdict = "ok"

    def interrupt(self) -> None:
        """Ask the run to end: gracefully the first time, at once the second time."""
        self._interrupts += 1
        graceful = self.status.state in (State.RUNNING, State.STOPPING)
        if graceful and self._interrupts == 1:
            timeout = f"{self._plan.stop_timeout_s:g} s"
            self._say(
                "info", f"stopping: users have {timeout} to finish; once more to stop at once"
            )
        self._changed.set()

    def run(self) -> Outcome:
        """Run to the end; never raises what is the run's own failure."""
        process.raise_fd_limit()
        directory = bus.make_directory()
        self._node: ChildProcess | None = None
        self._xmpp: xmppd.EmbeddedXmpp | None = None
        failure: AmocError | None = None
        context = zmq.Context()
        try:
            with bus.Parent(context, directory) as self._bus:
                reader = gevent.spawn(self._hear)
                try:
                    self._go_through_phases(directory)
                except AmocError as error:
                    failure = error
                    self._fail_run(error)
                finally:
                    self._clean_up(failure)
                    reader.kill()
        finally:
            context.destroy(linger=bus.LINGER_MS)
            shutil.rmtree(directory, ignore_errors=True)
        return self._outcome(failure)

    def _go_through_phases(self, directory: str) -> None:
        self._step(Step.LAUNCH)
        loaded = self._load(directory)
        values = {name: value for name, value, *_ in loaded.settings}
        users = len(self._plan.users)
        self._xmpp = xmppd.start(values, users, loaded.fds_per_user, self._on_line)
        overrides = {}
        if self._xmpp is not None:
            self._until(self._xmpp.ready, xmppd.READY_S, "the embedded XMPP server", "listen")
            overrides = {xmppd.SERVERS: self._xmpp.address}
            self._say(
                "info",
                f"no XMPP server configured: using the embedded one on {self._xmpp.address}"
                " (for trials only; set xmpp_servers to test yours)",
            )
        self._init(overrides)
        up_s = WORKERS_UP_S + EACH_WORKER_UP_S * loaded.workers
        self._until(lambda: len(self._up) == loaded.workers, up_s, "the workers", "come up")
        self._step(Step.READY)
        self._run_users()
        self._step(Step.STOP)
        self._stop()
        self._step(Step.ALL_LEFT)

    # Phases

    def _load(self, directory: str) -> Loaded:
        plan = self._plan
        self._bus.expect(NODE)
        self._node = ChildProcess("amoc.engine.node_main", [directory], self._on_line)
        self._node.write(
            link.encode(
                Bootstrap(
                    node=0,
                    run_id=self.run_id,
                    endpoint=directory,
                    scenario=plan.scenario,
                    sources=plan.sources,
                    highest_id=plan.users[-1] + ROOM_FOR_IDS,
                    seed=plan.seed,
                    init_timeout_s=plan.init_timeout_s,
                    stop_timeout_s=plan.stop_timeout_s,
                )
            )
        )
        self._until(lambda: Hello in self._seen, JOIN_S, "the node", "join")
        self._heard_ns = now_ns()
        self._until(
            lambda: Loaded in self._seen,
            plan.init_timeout_s,
            f"importing {plan.scenario}",
            "be done",
            "(--init-timeout)",
            ExitCode.INIT_TIMEOUT,
        )
        loaded: Loaded = self._seen[Loaded]
        self.status.loaded = loaded
        limits.check_fds(len(plan.users), loaded.workers, loaded.fds_per_user, loaded.fd_limit)
        interarrival_ms, per_minute = loaded.pacing
        rate_per_s = (
            per_minute / 60
            if per_minute is not None
            else 1000 / interarrival_ms
            if interarrival_ms
            else inf
        )
        self._pacing = pacing.StartPlan(
            rate_per_s,
            [
                placement.ids_of(plan.users[0], plan.users[-1], 0, 1, slot, loaded.workers)
                for slot in range(loaded.workers)
            ],
        )
        return loaded

    def _init(self, overrides: Mapping[str, Any]) -> None:
        self._send(Init(overrides, "the embedded XMPP server"))
        self._until(
            lambda: Ready in self._seen,
            self._plan.init_timeout_s,
            f"init() of {self._plan.scenario}",
            "return",
            "(--init-timeout)",
            ExitCode.INIT_TIMEOUT,
        )

    def _run_users(self) -> None:
        """Deal users until the time is up, all have left for good, or the operator wants an end."""
        assert self._pacing is not None
        plan, starts = self._plan, self._pacing
        self._begun_ns = now_ns()
        while not self._interrupts:
            self._check()
            now = now_ns()
            if plan.duration_s is not None and now - self._begun_ns >= plan.duration_s * S_NS:
                return
            for block in starts.deal(now):
                self._send(block)
            if not starts.waiting() and not starts.outstanding() and self._all_left():
                return
            self._changed.wait(DEAL_S if starts.waiting() else IDLE_S)
            self._changed.clear()
        self._verdict = "stopped"

    def _all_left(self) -> bool:
        figures = self.status.figures
        return figures.finished + figures.removed >= len(self._plan.users)

    def _stop(self) -> None:
        plan = self._plan
        self._send(StopUsers(plan.stop_timeout_s))
        self._until(
            lambda: Stopped in self._seen,
            plan.stop_timeout_s + STOP_MARGIN_S,
            "the node",
            "stop its users",
        )
        stopped: Stopped = self._seen[Stopped]
        if stopped.killed:
            users = counted(stopped.killed, "user")
            after = f"{plan.stop_timeout_s:g} s (--stop-timeout)"
            self._say("warning", f"{users} did not finish within {after} and had to be removed")
        self._send(Terminate())
        self._until(
            lambda: Terminated in self._seen,
            plan.init_timeout_s + STOP_MARGIN_S,
            f"terminate() of {plan.scenario}",
            "return",
        )
        error = self._seen[Terminated].error
        if error:
            raise _failed(ExitCode.TERMINATE_FAILED, error)
        if stopped.stuck or stopped.lost:
            raise _failed(ExitCode.STUCK, _who_stayed(stopped))

    def _clean_up(self, failure: AmocError | None) -> None:
        """Leave nothing running, whatever happened."""
        self._ended_ns = now_ns()
        if self._node is not None:
            if failure is not None and Terminated not in self._seen:
                self._node.kill()  # the kernel ends all below it
            self._node.end(LEAVE_S)
        if self._xmpp is not None:
            self._xmpp.end()

    # Hearing and waiting

    def _hear(self) -> None:
        for envelope in self._bus.reports():
            now = now_ns()
            if now - self._listened_ns > S_NS:
                # We slept (a stopped job, a slow terminal), not the node.
                self._heard_ns += now - self._listened_ns
            self._listened_ns = now
            if envelope is not None:
                self._heard_ns = now
                try:
                    self._take(envelope.child, envelope.record)
                except Exception:  # one report must not deafen us to all that follow
                    self._failure = AmocError(traceback.format_exc())

    def _take(self, node: str, record: Record) -> None:
        match record:
            case Hello() | Loaded() | Ready() | Stopped() | Terminated():
                self._seen[type(record)] = record
            case WorkerUp() | WorkerLost() | Started():
                self._take_from_worker(record)
            case Sample():
                self.status.figures.take(node, record)
                if self._begun_ns:
                    self.status.elapsed_s = (now_ns() - self._begun_ns) / S_NS
            case Failed(exit_code, message):
                self._failure = _failed(ExitCode(exit_code), message)
            case CrashSeen():
                self._tell_crash(record)
            case Note(level, text):
                self._say(level, text)
            case Output(lines):
                for line in lines:
                    self._on_line(line)
        self._changed.set()

    def _take_from_worker(self, record: Record) -> None:
        assert self._pacing is not None  # there are no workers before it is there
        match record:
            case WorkerUp(slot, epoch, _, restart, start):
                self._up.add(slot)
                self._pacing.up(slot, list(restart), list(start))
                if epoch > 1:
                    again = f"{counted(len(restart), 'user')} to start again"
                    self._say("info", f"worker {slot} is replaced; {again}")
            case WorkerLost(slot, _, reason):
                self._up.discard(slot)
                self._pacing.down(slot)
                self._say("error", f"{reason}; its counts are kept")
            case Started(slot, number):
                self._pacing.started(slot, number)

    def _tell_crash(self, crash: CrashSeen) -> None:
        if crash.cause not in self._causes:
            self._causes.add(crash.cause)
            self._say(
                "error", f"user {crash.user_id} crashed, the first with this cause: {crash.cause}"
            )
            self._say("trace", crash.traceback)

    def _until(
        self,
        condition: Callable[[], bool],
        deadline_s: float,
        what: str,
        rule: str,
        option: str = "",
        code: ExitCode = ExitCode.NODE_LOST,
    ) -> None:
        """Wait for `condition`; if it is not met in time, `what` did not do `rule`."""
        give_up = now_ns() + int(deadline_s * S_NS)
        while not condition():
            self._check()
            if now_ns() > give_up:
                option = f" {option}" if option else ""
                text = f"{what} must {rule} within {deadline_s:g} s{option}, but has not"
                if code is ExitCode.INIT_TIMEOUT:
                    error: AmocError = InitError(text)
                    error.exit_code = code
                    raise error
                raise PeerError(text)
            self._changed.wait(0.1)
            self._changed.clear()

    def _check(self) -> None:
        """Raise what ends the run before its time."""
        if self._failure is not None:
            raise self._failure
        graceful = self.status.state in (State.RUNNING, State.STOPPING)
        if self._interrupts > (1 if graceful else 0):
            raise Interrupted("stopped at once; figures may lack the last second")
        if self._node is None:
            return
        status = self._node.exit_status()
        if status is not None:
            gevent.sleep(bus.TICK_S)  # its last report may still be on the way
            if Terminated in self._seen and self.status.state is State.STOPPING:
                return
            raise self._failure or PeerError(f"node 0 {process.how_it_ended(status)}")
        if self._seen and self._listened_ns - self._heard_ns > SILENT_S * S_NS:
            raise PeerError(f"node 0 has reported nothing for {SILENT_S:g} s")
        if self._xmpp and self._xmpp.address and self._xmpp.exit_status() is not None:
            how = process.how_it_ended(self._xmpp.exit_status() or 0)
            raise PeerError(f"the embedded XMPP server {how}")

    def _send(self, command: Record) -> None:
        self._bus.send(NODE, command)

    def _say(self, level: str, text: str) -> None:
        if level != "trace":
            self.status.events.append(Happening(self.status.elapsed_s, level, text))
        self._on_event(level, text)

    def _step(self, step: Step) -> None:
        self.status.state = after(self.status.state, step)

    def _fail_run(self, error: AmocError) -> None:
        self._verdict = "interrupted" if isinstance(error, Interrupted) else "failed"
        self.status.state = after(self.status.state, Step.FAIL)

    # The end

    @property
    def run_id(self) -> str:
        """The run's name: when it began, and a part of its seed to tell twins apart."""
        return f"{self._started_at:%Y%m%dT%H%M%S}-{self._plan.seed % 0x10000:04x}"

    def _outcome(self, failure: AmocError | None) -> Outcome:
        code = failure.exit_code if failure is not None else ExitCode.OK
        message = str(failure) if failure is not None else ""
        if not self._begun_ns:
            return Outcome(code, message, None)
        duration_s = (self._ended_ns - self._begun_ns) / S_NS
        run = {
            "id": self.run_id,
            "scenario": self._plan.scenario,
            "comment": self._plan.comment,
            "seed": self._plan.seed,
            "started_at": self._started_at.isoformat(timespec="milliseconds"),
            "duration_s": round(duration_s, 3),
            "verdict": self._verdict,
            "exit_code": int(code),
        }
        return Outcome(code, message, self.status.figures.summary(run))


def _who_stayed(stopped: Stopped) -> str:
    parts = []
    if stopped.stuck:
        ids = ", ".join(map(str, stopped.stuck))
        parts.append(f"users did not even leave when they were killed: {ids}")
    if stopped.lost:
        parts.append(f"{counted(stopped.lost, 'user')} got lost with a worker at the end")
    return "; ".join(parts)


def _failed(code: ExitCode, message: str) -> AmocError:
    error = AmocError(message)
    error.exit_code = code
    return error


def handle_signals(controller: Controller) -> None:
    """Let Ctrl-C, SIGTERM and SIGHUP interrupt `controller`.

    The third one ends this process wherever it is, writing to a terminal that stands still say; its
    children notice, and leave by themselves.
    """
    loop = gevent.get_hub().loop
    seen = 0

    def interrupt(*_: object) -> None:
        nonlocal seen
        seen += 1
        if seen > 2:
            os._exit(int(ExitCode.INTERRUPTED))
        loop.run_callback_threadsafe(controller.interrupt)

    for signum in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        if signal.getsignal(signum) is not signal.SIG_IGN:  # nohup means it
            signal.signal(signum, interrupt)
