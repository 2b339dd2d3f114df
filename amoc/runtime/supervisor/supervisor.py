"""The supervisor: imports the scenario, runs init() once, forks workers, replaces lost ones.

The result of init() reaches every worker through the fork, copy-on-write. Therefore this process
never creates a gevent hub, a ZeroMQ socket or a thread of its own, all of which a fork would copy
in use. It communicates with its node over plain descriptors, and its signal handlers only wake it
up. The kernel makes it die with its node, and its workers with it.
"""

from __future__ import annotations

import contextlib
import gc
import hashlib
import logging
import os
import select
import signal
import time
import traceback
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import NoReturn

from amoc._version import VERSION
from amoc.base import context, process
from amoc.base.clock import MS_NS, S_NS, now_ns
from amoc.base.errors import AmocError, ExitCode, PeerError
from amoc.base.operator_log import OperatorLog
from amoc.base.redaction import HIDDEN
from amoc.feed import registry as feeds
from amoc.ipc import pipe, rpc
from amoc.ipc.messages import lifecycle
from amoc.ipc.messages.links import FROM_SUPERVISOR, TO_SUPERVISOR, FromSupervisor, ToSupervisor
from amoc.ipc.messages.placement import Layout
from amoc.ipc.messages.users import StopUsers
from amoc.ipc.worker_id import WorkerId
from amoc.metrics import registry
from amoc.metrics.board import Board, Cell
from amoc.results.exporters import settings as _exporter_settings  # noqa: F401 - declares them
from amoc.results.thresholds import declared as expecting
from amoc.runtime import logs
from amoc.runtime.supervisor import monkey_patch
from amoc.runtime.worker_spec import GRACE_S, SHORT_LIFE_NS, WorkerSpec
from amoc.scenario import builtin_settings, copied_rows, events, fd_budget, plugins, settings
from amoc.scenario.facts import RunFacts
from amoc.scenario.joined import load
from amoc.scenario.loader import Scenario
from amoc.scenario.resolving import resolve
from amoc.scenario.settings_sources import for_scenario
from amoc.users.placement import Placement

# Saved before the standard library is patched: these must block the process, not a greenlet.
_poll = select.poll
_sleep = time.sleep
_log = logging.getLogger(__name__)

MAX_BACKOFF_NS = 5 * S_NS
TICK_MS, REST_MS = 1_000, 5_000
"""Interval between two ticks of the log, while it holds lines and otherwise: only threads of the
scenario may log unnoticed."""


def backoff_ns(short_lives: int) -> int:
    """Return how long to delay a replacement after `short_lives` early deaths in a row."""
    return min((1 << short_lives) * S_NS // 20, MAX_BACKOFF_NS) if short_lives else 0


@dataclass
class _Worker:
    pid: int = 0
    incarnation: int = 0
    born_ns: int = 0
    short_lives: int = 0
    fork_at_ns: int = 0


class Supervisor:
    """Runs one node's share of the scenario from load to terminate()."""

    def __init__(
        self,
        bootstrap: lifecycle.Bootstrap,
        board: Board,
        directory: str,
        line: int,
        work: Callable[[WorkerSpec], int],
    ) -> None:
        self._bootstrap = bootstrap
        self._board = board
        self._directory = directory
        self._line = line
        self._work = work
        self._workers: dict[int, _Worker] = {}
        self._replacing = True
        self._wakeup = (-1, -1)
        self._log_waits = False

    def run(self) -> None:
        """Run from load to terminate(); every failure is reported to the node."""
        operator = OperatorLog(lambda level, text: self._report(lifecycle.Note(level, text)))
        logs.attach(operator)
        scenario = self._load()
        logs.keep()
        init = pipe.read_one(self._line, TO_SUPERVISOR)
        if not isinstance(init, lifecycle.Init):
            raise PeerError(f"expected Init from the node, got {type(init).__name__}")
        logs.open_directory(init.log_directory)
        self._placement = Placement(Layout(*init.layout))
        self._board.first = self._placement.numbers(self._bootstrap.node).start
        self._workers = {number: _Worker() for number in self._board.numbers}
        with rpc.recording() as recorder, events.span(events.INIT_START, events.INIT_STOP):
            state = scenario.init()
        logs.keep()
        _log.info("init() of %s has returned", scenario.source)
        others = monkey_patch.drop_hub()
        if others:
            operator.warning(
                f"{others} thread(s) were started by importing {scenario.source} or by its"
                " init(); workers are forked without them"
            )
        gc.collect()
        gc.freeze()  # objects loaded so far stay shared with workers, as gc never touches them
        note = copied_rows.note_on(scenario.visible(state), sum(Layout(*init.layout).workers))
        calls = [*feeds.calls(), *recorder.calls]
        declared = registry.current.declared()
        self._report(lifecycle.Ready(calls, declared, events.relayed(), [note] if note else []))
        self._start = scenario.start_with(state)
        self._scenario = scenario.name
        self._scenario_directory = scenario.directory
        self._supervise()
        _log.info("all users have left; terminate() of %s begins", scenario.source)
        try:
            with events.span(events.TERMINATE_START, events.TERMINATE_STOP):
                scenario.terminate(state)
        except AmocError as error:
            self._report(lifecycle.Terminated(str(error)))
        else:
            self._report(lifecycle.Terminated(""))

    def _load(self) -> Scenario:
        monkey_patch.patch()
        plugins.load("supervisor")
        events.begin_scenario()
        here, bootstrap = context.active(), self._bootstrap
        here.set(RunFacts, RunFacts(range(*bootstrap.users), bootstrap.duration_s))
        here.set(Board, self._board)
        sources = [settings.Source(*source) for source in bootstrap.sources]
        scenario = load(bootstrap.scenario, bootstrap.libraries, sources)
        declared = settings.declared()
        sources = for_scenario(sources, scenario.name, declared)
        values = resolve(declared, sources)
        expected = expecting.declared()
        settings.apply(values)
        texts = {one.name: settings.as_text(one.name, values[one.name]) for one in declared}
        self._report(
            lifecycle.Loaded(
                name=scenario.name,
                doc=scenario.doc,
                settings=[
                    (
                        one.name,
                        texts[one.name],
                        values[one.name].source,
                        one.description,
                        one.module,
                    )
                    for one in declared
                ],
                pacing=(builtin_settings.interarrival.get(), builtin_settings.user_rate.get()),
                workers=self._board.workers,
                fds_per_user=fd_budget.fds_per_user(),
                fd_limit=process.raise_fd_limit(),
                thresholds=expected,
                cores=len(os.sched_getaffinity(0)),
                version=VERSION,
                digest=_digest(scenario),
                secrets=[
                    (name, settings.fingerprint(values[name], self._bootstrap.run_id))
                    for name, text in texts.items()
                    if HIDDEN in text
                ],
            )
        )
        return scenario

    def _supervise(self) -> None:
        """Fork and replace workers until the node reports that all users have left."""
        self._wakeup = os.pipe2(os.O_NONBLOCK | os.O_CLOEXEC)
        signal.set_wakeup_fd(self._wakeup[1], warn_on_full_buffer=False)
        signal.signal(signal.SIGCHLD, lambda *_: None)
        poll = _poll()
        poll.register(self._line, select.POLLIN)
        poll.register(self._wakeup[0], select.POLLIN)
        for number in self._workers:
            self._fork(number)
        while True:
            for fd, _ in poll.poll(self._next_ms()):
                if fd == self._wakeup[0]:
                    os.read(fd, 4096)
                elif not self._execute(pipe.read_one(self._line, TO_SUPERVISOR)):
                    self._end_workers()
                    return
            self._reap()
            self._fork_due()
            self._log_waits = logs.tick()

    def _execute(self, command: ToSupervisor) -> bool:
        match command:
            case StopUsers():
                _log.info("workers are no longer replaced")
                self._replacing = False
            case lifecycle.KillWorker(worker, incarnation):
                if self._workers[worker].incarnation == incarnation and self._workers[worker].pid:
                    _log.warning("worker is killed", extra=_which(worker, incarnation))
                    os.kill(self._workers[worker].pid, signal.SIGKILL)
            case lifecycle.Terminate():
                return False
            case lifecycle.Init():
                raise PeerError("expected Init from the node once, got it a second time")
        return True

    def _next_ms(self) -> int:
        """Return how long to wait for a command or the death of a worker."""
        due = [worker.fork_at_ns for worker in self._workers.values() if worker.fork_at_ns]
        tick_ms = TICK_MS if self._log_waits else REST_MS
        if not due or not self._replacing:
            return tick_ms
        return min(tick_ms, max(0, (min(due) - now_ns()) // MS_NS + 1))

    def _fork_due(self) -> None:
        for number, worker in self._workers.items():
            if worker.fork_at_ns and worker.fork_at_ns <= now_ns() and self._replacing:
                self._fork(number)

    def _reap(self) -> None:
        for number, worker in self._workers.items():
            if not worker.pid:
                continue
            pid, status = os.waitpid(worker.pid, os.WNOHANG)
            if not pid:
                continue
            worker.pid = 0
            age_ns = now_ns() - worker.born_ns
            code = os.waitstatus_to_exitcode(status)
            _log.info(
                "worker %s", process.describe_exit(code), extra=_which(number, worker.incarnation)
            )
            self._report(lifecycle.Died(number, worker.incarnation, code, age_ns))
            if self._replacing:
                worker.short_lives = worker.short_lives + 1 if age_ns < SHORT_LIFE_NS else 0
                worker.fork_at_ns = now_ns() + backoff_ns(worker.short_lives)

    def _fork(self, number: int) -> None:
        worker = self._workers[number]
        worker.incarnation += 1
        worker.born_ns, worker.fork_at_ns = now_ns(), 0
        supervisor = os.getpid()
        pid = os.fork()
        if pid == 0:
            self._become_worker(number, worker.incarnation, supervisor)
        worker.pid = pid
        _log.info("worker is forked", extra={**_which(number, worker.incarnation), "pid": pid})
        self._report(lifecycle.Forked(number, worker.incarnation, pid))

    def _become_worker(self, number: int, incarnation: int, supervisor: int) -> NoReturn:
        code = int(ExitCode.INTERNAL)
        try:
            process.die_with(supervisor)
            process.reset_signals()
            for fd in (self._line, *self._wakeup):
                os.close(fd)
            logs.begin(f"worker-{number}", worker=number, incarnation=incarnation)
            events.happen_in(f"worker-{number}")
            row = self._board.row(number)
            row[Cell.INCARNATION] = incarnation
            row[Cell.PID] = os.getpid()
            code = self._work(
                WorkerSpec(
                    id=WorkerId(f"node{self._bootstrap.node}", number, incarnation),
                    placement=self._placement,
                    board=self._board,
                    directory=self._directory,
                    start=self._start,
                    scenario_directory=self._scenario_directory,
                    seed=self._bootstrap.seed,
                    run_id=self._bootstrap.run_id,
                    max_users=self._bootstrap.max_users,
                    first_arrival=self._bootstrap.first_arrival,
                    scenario=self._scenario,
                )
            )
        except BaseException:
            _log.exception("the worker failed with an internal error")
            traceback.print_exc()
        finally:
            logs.end()
            process.leave(code)

    def _end_workers(self) -> None:
        give_up = now_ns() + int(GRACE_S * S_NS)
        while any(worker.pid for worker in self._workers.values()):
            self._reap()
            if now_ns() > give_up:
                for worker in self._workers.values():
                    if worker.pid:
                        os.kill(worker.pid, signal.SIGKILL)
            _sleep(0.005)

    def _report(self, report: FromSupervisor) -> None:
        pipe.write(self._line, FROM_SUPERVISOR, report)


def _digest(scenario: Scenario) -> str:
    """Return the digest of the scenario's file; empty if it has none."""
    file = getattr(scenario.module, "__file__", None)
    return hashlib.sha256(Path(file).read_bytes()).hexdigest() if file else ""


def _which(worker: int, incarnation: int) -> dict[str, int]:
    """Return the fields of a log line that identify a worker."""
    return {"worker": worker, "incarnation": incarnation}


def main(
    bootstrap: lifecycle.Bootstrap,
    board: Board,
    directory: str,
    line: int,
    parent_pid: int,
    work: Callable[[WorkerSpec], int],
) -> NoReturn:
    """Run the supervisor in a freshly forked process; each worker calls `work`."""
    code = ExitCode.INTERNAL
    try:
        process.die_with(parent_pid)
        process.reset_signals()
        process.set_title("supervisor")
        name = f"supervisor-{bootstrap.node}" if bootstrap.node else "supervisor"
        logs.begin(name, bootstrap.log_level)
        events.happen_in("supervisor")
        Supervisor(bootstrap, board, directory, line, work).run()
        code = ExitCode.OK
    except AmocError as error:
        code = error.exit_code
        _log.error("%s", error)
        _report_failure(line, lifecycle.Failed(int(error.exit_code), str(error)))
    except BaseException:
        _log.exception("the supervisor failed with an internal error")
        _report_failure(line, lifecycle.Failed(int(ExitCode.INTERNAL), traceback.format_exc()))
    finally:
        logs.end()
        process.leave(code)


def _report_failure(line: int, failed: lifecycle.Failed) -> None:
    with contextlib.suppress(OSError):  # the node may have exited, so there is no one to tell
        pipe.write(line, FROM_SUPERVISOR, failed)
