"""The node: one host's share of a run.

It is started with a `Bootstrap` on its standard input, which then stays open as its lifeline: when
it ends, the controller is dead and the node lets its users finish and leaves. It maps the board and
forks the supervisor before anything else runs; then it relays commands and reports, samples the
board once a second and watches over its workers.
"""

from __future__ import annotations

import contextlib
import logging
import os
import shutil
import signal
import sys
import traceback
from dataclasses import dataclass
from typing import Any

import gevent
import zmq
from gevent import socket as gsocket
from gevent.event import Event

from amoc.base import process
from amoc.base.clock import S_NS, now_ns
from amoc.base.errors import AmocError, ExitCode, PeerError
from amoc.base.text import LineSplitter, RateLimiter
from amoc.ipc import bus, pipe
from amoc.ipc.messages import (
    FROM_NODE,
    FROM_SUPERVISOR,
    FROM_WORKER,
    TO_NODE,
    TO_SUPERVISOR,
    TO_WORKER,
    Blocked,
    Bootstrap,
    CrashSeen,
    Died,
    Envelope,
    Failed,
    Forked,
    FromNode,
    FromSupervisor,
    Hello,
    Init,
    KillWorker,
    Loaded,
    Note,
    Output,
    Part,
    Ready,
    Sampled,
    Started,
    StartUsers,
    StopUsers,
    Terminate,
    Terminated,
    ToSupervisor,
    ToWorker,
    UsersGone,
    WorkerLost,
    WorkerUp,
)
from amoc.metrics.board import RESTARTABLE, Board, UserState
from amoc.runtime import logs
from amoc.runtime.node.host_stats import HostStats
from amoc.runtime.node.sampler import note_silence
from amoc.runtime.node.shutdown import Shutdown
from amoc.runtime.node.worker_watch import SAMPLE_S, WorkerWatch
from amoc.runtime.node.workers import WorkerState, WorkerTable

JOIN_S = 10.0
MAX_STILLBORN = 3
"""Workers of one worker that may die before they take users; then the run is given up."""
SHORT_LIFE_NS = 2 * S_NS
MAX_SHORT_LIVES = 10
"""Workers of one worker that may die within `SHORT_LIFE_NS` in a row; then the run is given up."""
MAX_LINES = 2_000
MAX_CHARACTERS = 1 << 18
"""What the scenario may print each second, lines and characters; more is left out, and counted."""
MAX_MAIL = 5_000
MAX_MAIL_BYTES = 32 << 20
"""Envelopes on their way to one worker, beyond which mail is dropped, counted and spoken of."""

_log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Ends:
    """One side's descriptors of what connects node and supervisor.

    Attributes:
        line: The socket for commands and reports.
        output: What the scenario prints goes in here, and comes out at the node's side.
    """

    line: int
    output: int


class Node:
    """Relays, samples, watches.

    Attributes:
        alone: Whether the controller is gone.
    """

    def __init__(
        self, bootstrap: Bootstrap, board: Board, supervisor_pid: int, ends: Ends, directory: str
    ) -> None:
        self._bootstrap = bootstrap
        self._board = board
        self._supervisor_pid = supervisor_pid
        self._line = gsocket.socket(fileno=ends.line)
        self._output = ends.output
        self._printed = Event()
        self._line_ended = Event()
        self._workers = WorkerTable(board)
        self._watch = WorkerWatch(
            board, self._workers, self._report, HostStats(), process.raise_fd_limit(), directory
        )
        self._ending = Shutdown(self._workers, self._command, self._tell_supervisor, self._report)
        self._ready = False
        self._leave = Event()
        self.alone = False
        self._context = zmq.Context()
        self._bus = bus.Parent(self._context, directory, TO_WORKER, FROM_WORKER)
        name = f"node{bootstrap.node}"
        # While the controller stands still, workers keep what is for it, in users that wait.
        self._controller = bus.Child(
            self._context, bootstrap.endpoint, name, TO_NODE, FROM_NODE, self._bus.hold
        )

    def run(self) -> None:
        """Join the controller, then relay until there is nothing more to do."""
        logs.attach(lambda level, text: self._report(Note(level, text)))
        with self._bus, self._controller:
            gevent.spawn(self._guarded, self._watch_lifeline)
            joining = gevent.spawn(self._controller.join, JOIN_S)
            either: list[Any] = [joining, self._leave]
            gevent.wait(either, count=1)
            if not self._leave.is_set():
                joining.get()
                _log.info("node has joined its controller")
                self._work()
            self._kill_supervisor()  # it has said its last word, and its workers go with it
            self._printed.wait(1.0)
            self._controller.flush(2.0)
        # Not before the last report is out, if there is anybody to hear it.
        self._context.destroy(linger=0 if self.alone else bus.LINGER_MS)

    def _work(self) -> None:
        """Pass on, sample and watch until it is time to leave."""
        for task in (
            self._pass_on_output,
            self._hear_supervisor,
            self._watch_supervisor,
            self._hear_workers,
            self._hear_controller,
        ):
            gevent.spawn(self._guarded, task)
        sampling = gevent.spawn(self._guarded, self._watch.sample_each_second)
        gevent.spawn(self._guarded, self._watch.see_peaks)
        self._leave.wait()
        sampling.kill()

    def _guarded(self, task: object) -> None:
        try:
            task()  # type: ignore[operator]
        except gevent.GreenletExit:
            raise
        except AmocError as error:
            self._give_up(error.exit_code, str(error))
        except BaseException:
            self._give_up(ExitCode.INTERNAL, traceback.format_exc())

    def _report(self, record: FromNode) -> None:
        self._controller.report_nowait(record)

    def _command(self, worker: WorkerState, command: ToWorker) -> None:
        """Send `command` to the worker in `worker`; one that reads none of them is replaced."""
        try:
            self._bus.send(worker.child, command)
        except PeerError as error:
            self._bus.forget(worker.child)
            self._report(Note("error", f"worker {worker.index} is killed: {error}"))
            self._tell_supervisor(KillWorker(worker.index, worker.incarnation))

    def _tell_supervisor(self, command: ToSupervisor) -> None:
        with contextlib.suppress(OSError):  # if it is gone, reading from it says so
            self._line.sendall(pipe.encode(TO_SUPERVISOR, command))

    def _give_up(self, code: ExitCode, message: str) -> None:
        """End the supervisor (the kernel ends its workers), say why, leave."""
        _log.error("%s", message)
        self._kill_supervisor()
        self._watch.report_sample()
        self._report(Failed(int(code), message))
        self._leave.set()

    def _kill_supervisor(self) -> None:
        if self._supervisor_pid:
            os.kill(self._supervisor_pid, signal.SIGKILL)
            os.waitpid(self._supervisor_pid, 0)
            self._supervisor_pid = 0

    # From the supervisor

    def _pass_on_output(self) -> None:
        """What the scenario prints goes to the controller; without one it goes nowhere."""
        lines = LineSplitter()
        ration = RateLimiter(MAX_LINES, MAX_CHARACTERS)
        ended = False
        while not ended:
            whole: list[str] = []
            # The time-out is for the remark on what was left out.
            with contextlib.suppress(gsocket.timeout):
                gsocket.wait_read(self._output, timeout=SAMPLE_S)
                data = os.read(self._output, 65536)
                whole, ended = lines.feed(data), not data
            passed = ration.take(whole, now_ns())
            if passed or ended:
                # Not to wait for the controller: workers would, to whom their output is a pipe.
                self._report(Output([*passed, *(ration.remark() if ended else [])]))
        self._printed.set()

    def _hear_supervisor(self) -> None:
        decoder = pipe.Decoder(FROM_SUPERVISOR)
        while data := self._line.recv(65536):
            for record in decoder.feed(data):
                self._hear(record)
        self._line_ended.set()

    def _watch_supervisor(self) -> None:
        # Not by the end of its line: a process that init() forked may hold that open.
        death = os.pidfd_open(self._supervisor_pid)
        gsocket.wait_read(death)
        os.close(death)
        self._line_ended.wait(0.5)  # what it said last comes before how it ended
        if not self._supervisor_pid:
            return
        _, status = os.waitpid(self._supervisor_pid, 0)
        self._supervisor_pid = 0
        if self._leave.is_set() or self._ending.terminated.ready():
            return
        how = process.how_it_ended(os.waitstatus_to_exitcode(status))
        self._give_up(ExitCode.NODE_LOST, f"the supervisor of node {self._bootstrap.node} {how}")

    def _hear(self, record: FromSupervisor) -> None:
        match record:
            case Forked(worker, incarnation, pid):
                self._workers[worker].incarnation, self._workers[worker].pid = incarnation, pid
                self._bus.expect(f"w{worker}.{incarnation}")
            case Died():
                self._worker_died(record)
            case Failed():
                self._report(record)
                self._leave.set()
            case Terminated():
                self._ending.terminated.set(record)
            case Loaded() | Ready() | Note():
                self._ready = self._ready or isinstance(record, Ready)
                self._report(record)

    def _worker_died(self, died: Died) -> None:
        worker = self._workers[died.worker]
        self._bus.forget(f"w{died.worker}.{died.incarnation}")
        was_up, worker.up, worker.pid = worker.up, False, 0
        if died.status:
            self._board.area(died.worker).forget_gauges()  # they are of a worker that is no more
        if was_up:
            note_silence(self._board, died.worker, worker.cpu_ns)
            self._watch.died(worker)
        if self._ending.begun:
            self._ending.worker_died(worker, died.status)
            return
        worker.stillborn = 0 if was_up else worker.stillborn + 1
        worker.short_lives = worker.short_lives + 1 if died.age_ns < SHORT_LIFE_NS else 0
        how = process.how_it_ended(died.status)
        _log.warning(
            "worker %d %s",
            died.worker,
            how,
            extra={"worker": died.worker, "incarnation": died.incarnation},
        )
        self._report(WorkerLost(died.worker, died.incarnation, f"worker {died.worker} {how}"))
        if worker.short_lives >= MAX_SHORT_LIVES:
            self._give_up(
                ExitCode.WORKERS_LOST,
                f"worker {died.worker} {how} within {SHORT_LIFE_NS // S_NS} s of its start,"
                f" {worker.short_lives} times in a row",
            )
        elif worker.stillborn >= MAX_STILLBORN:
            self._give_up(
                ExitCode.WORKERS_LOST,
                f"worker {died.worker} {how} before it took any user,"
                f" {worker.stillborn} times in a row",
            )

    # From the workers

    def _hear_workers(self) -> None:
        for envelope in self._bus.reports():
            if envelope is None:
                continue
            match envelope.record:
                case Hello(pid):
                    self._worker_up(envelope.child, pid)
                case UsersGone():
                    self._ending.users_gone(envelope.record)
                case Started() | CrashSeen() | Note() | Blocked():
                    self._report(envelope.record)
                case Envelope():
                    self._relay(envelope.record)

    def _worker_up(self, child: str, pid: int) -> None:
        number, incarnation = (int(part) for part in child.removeprefix("w").split("."))
        worker = self._workers[number]
        if worker.up or worker.incarnation != incarnation:
            return
        worker.up = True
        if self._ending.begun:
            self._command(worker, StopUsers(0.0))
            return
        ids = self._workers.ids_of(worker)
        # Their worker is dead: until they are dealt anew the bytes of these users are ours.
        self._workers.mark(self._board.users_in((UserState.LEAVING,), ids), UserState.REMOVED)
        restart = self._board.users_in(RESTARTABLE, ids)
        self._workers.mark(restart, UserState.RESTARTING)
        start = self._board.users_in((UserState.STARTING,), ids)
        which = {"worker": number, "incarnation": incarnation, "pid": pid}
        _log.info("worker has joined; %d users to start again", len(restart), extra=which)
        self._report(WorkerUp(number, incarnation, pid, restart, start))

    def _relay(self, envelope: Envelope) -> None:
        part, index, _ = envelope.header()
        if part is Part.CALLS and self._controller.crowded():
            return  # its caller hears of it at its deadline, and may ask again and again
        if part is not Part.MAIL:
            self._controller.report_urgent(envelope)
        elif index < len(self._workers):
            self._pass_down(envelope)

    def _pass_down(self, envelope: Envelope) -> None:
        """Give an envelope to the worker it is for; one whose worker is no more goes nowhere."""
        part, index, incarnation = envelope.header()
        worker = self._workers[index]
        if part is Part.MAIL and not self._has_room(worker):
            worker.mail_dropped += 1
        elif worker.up and incarnation in (0, worker.incarnation):
            self._command(worker, envelope)

    def _has_room(self, worker: WorkerState) -> bool:
        """Whether `worker` is there and takes its mail."""
        return (
            worker.up
            and self._bus.backlog(worker.child) < MAX_MAIL
            and self._bus.backlog_bytes(worker.child) < MAX_MAIL_BYTES
        )

    # From the controller

    def _hear_controller(self) -> None:
        for command in self._controller.commands():
            match command:
                case StartUsers():
                    self._start_users(command)
                case Envelope():
                    self._pass_down(command)
                case Sampled(sequence):
                    self._watch.acknowledge(sequence)
                case Init():
                    logs.open_directory(command.log_directory)
                    self._tell_supervisor(command)
                case StopUsers(timeout_s):
                    gevent.spawn(self._guarded, lambda: self._stop(timeout_s))
                case Terminate():
                    gevent.spawn(self._guarded, self._terminate)

    def _start_users(self, command: StartUsers) -> None:
        self._workers.dealt(command.ids)
        if not command.again:
            self._workers.mark(command.ids, UserState.STARTING)
        worker = self._workers[command.worker]
        if worker.up:
            self._command(worker, command)
        # Else its worker has just died; the next one will find these users on the board.

    def _watch_lifeline(self) -> None:
        while True:
            gsocket.wait_read(0)
            if not os.read(0, 4096):
                self._lost_controller("the controller is gone")
                return

    def _lost_controller(self, why: str) -> None:
        _log.warning(why)
        with contextlib.suppress(OSError):  # who would read it may be gone
            print(f"amoc: node {self._bootstrap.node} stops: {why}", file=sys.stderr)
        gevent.spawn(self._guarded, self._end_alone)

    def _end_alone(self) -> None:
        self.alone = True
        if self._ready:
            self._stop(self._bootstrap.stop_timeout_s)
            self._terminate()
        shutil.rmtree(self._bootstrap.endpoint, ignore_errors=True)  # nobody else is left to do it
        self._leave.set()

    # The end

    def _stop(self, timeout_s: float) -> None:
        _log.info("users have %g s to finish", timeout_s)
        self._watch.report_sample()  # what comes from now on is the end of the run
        stopped = self._ending.stop(timeout_s)
        if stopped is not None:
            self._watch.report_sample()
            self._report(stopped)

    def _terminate(self) -> None:
        last = self._ending.terminate(self._bootstrap.init_timeout_s)
        self._watch.report_sample()
        self._report(last)
        self._leave.set()
