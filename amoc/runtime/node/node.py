"""The node: one host's share of a run.

It is started with a `Bootstrap` on its standard input, which then stays open as its lifeline: when
it closes, the controller is dead, and the node lets its users finish and exits. It maps the board
and forks the supervisor before anything else runs. Then it relays commands and reports, samples the
board once a second, and watches its workers.
"""

from __future__ import annotations

import contextlib
import logging
import os
import shutil
import sys
import traceback
from collections.abc import Callable
from pathlib import Path

import gevent
import zmq
from gevent import socket as gsocket
from gevent.event import Event

from amoc.base import process, ticks
from amoc.base.clock import S_NS, format_duration, now_ns
from amoc.base.errors import AmocError, ExitCode
from amoc.base.operator_log import OperatorLog
from amoc.base.text import printable
from amoc.ipc import bus
from amoc.ipc.messages import lifecycle, users
from amoc.ipc.messages.envelope import BETWEEN_WORKERS, Envelope, Part
from amoc.ipc.messages.links import FROM_NODE, FROM_WORKER, TO_NODE, TO_WORKER
from amoc.ipc.messages.placement import Layout, Move
from amoc.ipc.messages.samples import Sampled
from amoc.metrics.board import Board
from amoc.runtime import logs
from amoc.runtime.node.host_stats import HostStats
from amoc.runtime.node.output import OutputRelay
from amoc.runtime.node.shutdown import Shutdown
from amoc.runtime.node.supervisor_link import SupervisorLink
from amoc.runtime.node.worker_links import WorkerLinks
from amoc.runtime.node.worker_watch import SAMPLE_S, WorkerWatch
from amoc.runtime.node.workers import WorkerTable
from amoc.runtime.remote import fencing
from amoc.users.placement import Placement

JOIN_S = 30.0
LAST_S = 5.0
"""How long a node on another host waits for its last reports to arrive."""

_log = logging.getLogger(__name__)


def controller_of(bootstrap: lifecycle.Bootstrap) -> str | bus.Remote:
    """Return where a node finds its controller: a directory of this host, or another host."""
    if not bootstrap.remote:
        return bootstrap.endpoint
    commands, reports, parent_key, public, secret = bootstrap.remote
    keys = bus.Keys(bytes(public), bytes(secret))
    return bus.Remote(str(commands), str(reports), bytes(parent_key), keys)


class Node:
    """Relays, samples, watches.

    Attributes:
        alone: Whether the controller is lost.
    """

    def __init__(
        self,
        bootstrap: lifecycle.Bootstrap,
        board: Board,
        supervisor_pid: int,
        line: int,
        output: int,
        directory: str,
        parent_pid: int,
    ) -> None:
        """Create it.

        Args:
            bootstrap: What it was told at its start.
            board: The board.
            supervisor_pid: The supervisor's process.
            line: A socket for commands to the supervisor, and its reports.
            output: A pipe from which to read what the scenario prints.
            directory: Where to bind the sockets for workers.
            parent_pid: The process that has started the node.
        """
        self.alone = self._stops = False
        self._parent_pid = parent_pid
        self._bootstrap = bootstrap
        self._ready = False
        self._leave = Event()
        self._context = zmq.Context()
        self._bus = bus.Parent(self._context, directory, TO_WORKER, FROM_WORKER)
        # While the controller is stalled, workers keep messages for it, and users wait.
        self._controller = bus.Child(
            self._context,
            controller_of(bootstrap),
            f"node{bootstrap.node}",
            TO_NODE,
            FROM_NODE,
            self._bus.hold,
        )
        self._report, urgent = self._controller.report_nowait, self._controller.report_urgent
        self._operator = OperatorLog(lambda level, text: self._report(lifecycle.Note(level, text)))
        workers = self._workers = WorkerTable(board)
        self._supervisor = SupervisorLink(supervisor_pid, gsocket.socket(fileno=line))
        self._output = OutputRelay(output, self._report)
        self._links = WorkerLinks(
            workers, board, self._bus, urgent, self._operator, self._supervisor.send
        )
        self._watch = WorkerWatch(
            board, workers, urgent, self._operator, HostStats(), process.raise_fd_limit(), directory
        )
        self._shutdown = Shutdown(workers, self._links.send, self._supervisor.send, self._operator)

    def run(self) -> None:
        """Join the controller, then relay until there is nothing more to do."""
        logs.attach(self._operator)
        with self._bus, self._controller:
            gevent.spawn(self._guarded, self._watch_lifeline)
            self._watch_parent()
            joining = gevent.spawn(self._controller.join, JOIN_S)
            either: list[gevent.Greenlet[..., None] | Event] = [joining, self._leave]
            gevent.wait(either, count=1)
            if not self._leave.is_set():
                joining.get()
                _log.info("node has joined its controller")
                self._work()
            self._supervisor.kill()  # it has sent its last report; its workers end with it
            self._output.ended.wait(1.0)
            self._controller.flush(2.0)
        # Only after the last report has been sent, if there is a controller to receive it.
        self._context.destroy(linger=0 if self.alone else bus.LINGER_MS)

    def _work(self) -> None:
        """Relay, sample and watch until it is time to exit."""
        for task in (
            self._output.run,
            self._read_supervisor,
            self._watch_supervisor,
            self._read_workers,
            self._read_controller,
        ):
            gevent.spawn(self._guarded, task)
        sampling = gevent.spawn(self._guarded, ticks.forever, SAMPLE_S, self._watch.each_second)
        self._leave.wait()
        sampling.kill()

    def _guarded(self, task: Callable[..., object], *arguments: object) -> None:
        try:
            task(*arguments)
        except gevent.GreenletExit:
            raise
        except AmocError as error:
            self._give_up(error.exit_code, str(error))
        except BaseException:
            self._give_up(ExitCode.INTERNAL, traceback.format_exc())

    def _give_up(self, code: ExitCode, message: str) -> None:
        """End the supervisor (the kernel ends its workers), report why, and exit."""
        _log.error("%s", message)
        self._supervisor.kill()
        self._workers.give_up()
        try:
            self._watch.report_sample(last=True)
        finally:  # sampling itself may have failed
            self._report(lifecycle.Failed(int(code), message))
            self._leave.set()

    # From the supervisor

    def _read_supervisor(self) -> None:
        for report in self._supervisor.reports():
            match report:
                case lifecycle.Forked():
                    self._links.forked(report)
                case lifecycle.Died():
                    self._worker_died(report)
                case lifecycle.Failed():
                    self._report(report)
                    self._leave.set()
                case lifecycle.Terminated():
                    self._shutdown.terminated.set(report)
                case lifecycle.Loaded() | lifecycle.Ready():
                    self._ready = self._ready or isinstance(report, lifecycle.Ready)
                    self._controller.report_urgent(report)
                case lifecycle.Note():
                    self._report(report)

    def _watch_supervisor(self) -> None:
        code = self._supervisor.wait_dead()
        if code is None or self._leave.is_set() or self._shutdown.terminated.ready():
            return
        how = process.describe_exit(code)
        self._give_up(ExitCode.NODE_LOST, f"the supervisor of node {self._bootstrap.node} {how}")

    def _worker_died(self, died: lifecycle.Died) -> None:
        was_up = self._links.died(died)
        if was_up:
            self._watch.died(died.worker)
        if self._shutdown.begun:
            self._shutdown.worker_died(died)
        elif hopeless := self._links.lost(died, was_up):
            self._give_up(ExitCode.WORKERS_LOST, hopeless)

    # From the workers

    def _read_workers(self) -> None:
        for received in self._bus.reports():
            if received is None:
                continue
            match received.record:
                case Envelope():
                    self._relay(received.record)
                case users.Started():
                    self._watch.note_peak()
                    self._report(received.record)
                case (
                    users.CrashSeen()
                    | users.FailureSeen()
                    | users.TargetSeen()
                    | lifecycle.Note()
                    | users.Blocked()
                ):
                    self._report(received.record)
                case lifecycle.Hello(pid):
                    self._links.joined(received.child, pid, self._shutdown.begun)
                case users.UsersGone():
                    self._shutdown.users_gone(received.record)

    def _relay(self, envelope: Envelope) -> None:
        part, index, _ = envelope.header()
        if part in BETWEEN_WORKERS and index in self._workers.by_number:
            self._links.pass_down(envelope)
        # The caller of a dropped call learns of that at its deadline, and may repeat the call.
        elif part is not Part.CALLS or not self._controller.crowded():
            self._controller.report_urgent(envelope)

    # From the controller

    def _read_controller(self) -> None:
        for command in self._controller.commands():
            match command:
                case Envelope():
                    self._links.pass_down(command)
                case users.StartUsers():
                    self._links.start_users(command)
                case Sampled(sequence):
                    self._watch.acknowledge(sequence)
                case users.QueryUsers():
                    self._watch.report_users(command)
                case lifecycle.Init():
                    self._init(command)
                case Move():
                    self._links.move(command)
                case users.StopUsers(timeout_s):
                    gevent.spawn(self._guarded, self._stop, timeout_s)
                case lifecycle.Terminate():
                    gevent.spawn(self._guarded, self._terminate)

    def _init(self, init: lifecycle.Init) -> None:
        if self._bootstrap.remote and init.log_directory:
            # That is a directory on the controller's host; a keeper forwards the files in ours.
            init = init._replace(log_directory=f"{self._bootstrap.endpoint}/logs")
        logs.open_directory(init.log_directory)
        placement = Placement(Layout(*init.layout))
        self._workers.take_numbers(placement, self._bootstrap.node)
        self._supervisor.send(init)

    def _watch_lifeline(self) -> None:
        # On another host there is a keeper in between, which may be stalled.
        fence = fencing.Fence(now_ns()) if self._bootstrap.remote else None
        nobody = "the controller has exited" if fence is None else "its keeper has exited"
        why = b""
        look_s = fencing.BEAT_S if fence is not None else None
        while fence is None or not fence.is_orphaned(now_ns()):
            try:
                gsocket.wait_read(0, look_s)
            except TimeoutError:
                continue
            read = os.read(0, 4096)
            why += read.lstrip(fencing.BEAT)
            if not read:
                self._lost_controller(printable(why.decode(errors="replace")) or nobody)
                return
            if fence is not None:
                fence.echoed(now_ns())
        silent = format_duration(fencing.ORPHANED_NS / S_NS)
        self._lost_controller(f"nothing received from its keeper for {silent}")

    def _watch_parent(self) -> None:
        """Detect the parent's death even if another process keeps the lifeline open."""
        gevent.signal_handler(process.PARENT_DIED, self._look_for_parent)
        self._look_for_parent()

    def _look_for_parent(self) -> None:
        if os.getppid() != self._parent_pid:  # the signal may come from another process
            self._lost_controller("its parent process has exited")

    def _lost_controller(self, why: str) -> None:
        if self._stops:
            return
        self._stops = True
        _log.warning(why)
        with contextlib.suppress(OSError):  # the reader may have exited
            print(f"amoc: node {self._bootstrap.node} stops: {why}", file=sys.stderr)
        gevent.spawn(self._guarded, self._end_alone, why)

    def _end_alone(self, why: str) -> None:
        self.alone = True
        # If the controller still receives this, it gives up this node, and restarts on other nodes
        # the users that are stopped here before they have finished.
        self._report(
            lifecycle.Failed(int(ExitCode.NODE_LOST), f"node {self._bootstrap.node} stops: {why}")
        )
        self._controller.mute()
        if self._ready:
            self._stop(self._bootstrap.stop_timeout_s)
            self._terminate()
        self._remove_directory()
        self._leave.set()

    def _remove_directory(self) -> None:
        """Remove this node's directory, and the run's if this is the last node."""
        run = Path(self._bootstrap.endpoint)
        shutil.rmtree(run / f"node{self._bootstrap.node}", ignore_errors=True)
        if not any(run.glob("node*")):
            shutil.rmtree(run, ignore_errors=True)

    # The end

    def _stop(self, timeout_s: float) -> None:
        _log.info("users have %g s to finish", timeout_s)
        # Users first, as a sample may take time. Whatever follows it belongs to the end of the run.
        stopped = self._shutdown.stop(timeout_s, self._watch.report_sample)
        if stopped is not None:
            self._watch.report_sample()
            self._report(stopped)

    def _terminate(self) -> None:
        last = self._shutdown.terminate(self._bootstrap.init_timeout_s)
        self._watch.report_sample(last=True)
        self._report(last)
        if self._bootstrap.remote:
            # Lost packets are not sent again once our end of the connection is closed.
            self._watch.wait_acknowledged(LAST_S)
        self._leave.set()
