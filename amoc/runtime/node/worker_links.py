"""The node's connections to its workers: joins, deaths, messages, and the states of users."""

from __future__ import annotations

import logging
from collections.abc import Callable

from amoc.base import process
from amoc.base.errors import PeerError
from amoc.base.operator_log import OperatorLog
from amoc.ipc import bus
from amoc.ipc.messages.envelope import BETWEEN_WORKERS, Envelope
from amoc.ipc.messages.lifecycle import Died, Forked, KillWorker, WorkerLost, WorkerUp
from amoc.ipc.messages.links import FromNode, FromWorker, ToWorker
from amoc.ipc.messages.placement import Move
from amoc.ipc.messages.users import StartUsers, StopUsers
from amoc.ipc.worker_id import WorkerId
from amoc.metrics.board import RESTARTABLE, Board, UserState
from amoc.runtime.node.sampler import record_silence
from amoc.runtime.node.workers import WorkerState, WorkerTable
from amoc.scenario.arrivals import ARRIVAL_RATE

_log = logging.getLogger(__name__)


class WorkerLinks:
    """Sends messages to workers, and maintains the table of workers and their users' states."""

    def __init__(
        self,
        workers: WorkerTable,
        board: Board,
        parent: bus.Parent[ToWorker, FromWorker],
        report: Callable[[FromNode], None],
        operator: OperatorLog,
        kill: Callable[[KillWorker], None],
    ) -> None:
        """Reach `workers` through `parent`.

        Args:
            workers: The table of workers.
            board: The board, with the states of their users.
            parent: The node's end of the bus.
            report: Queues a report for the controller, without blocking.
            operator: Told when a worker is killed.
            kill: Asks the supervisor to kill a worker.
        """
        self._workers = workers
        self._board = board
        self._bus = parent
        self._report = report
        self._operator = operator
        self._kill = kill

    # To workers

    def send(self, worker: WorkerState, command: ToWorker) -> None:
        """Send `command` to `worker`; a worker that reads no messages is killed and replaced."""
        try:
            self._bus.send(worker.child, command)
        except PeerError as error:
            self._bus.forget(worker.child)
            self._operator.error(f"worker {worker.index} is killed: {error}")
            self._kill(KillWorker(worker.index, worker.incarnation))

    def start_users(self, command: StartUsers) -> None:
        """Deal users to their worker."""
        self._workers.dealt(command.ids)
        if command.again:
            # Users of a lost node were on its board. All others are on this one, and may be running
            # or have ended: users are dealt twice if a worker is lost twice in a row.
            users = self._board.users
            new = [one for one in command.ids if users[one] == UserState.NONE]
            self._workers.mark(new, UserState.RESTARTING)
        else:
            self._workers.mark(command.ids, UserState.STARTING)
        worker = self._workers.by_number[command.worker]
        if worker.up:
            self.send(worker, command)
        # Otherwise its worker has just died; the next one will find these users on the board.

    def move(self, move: Move) -> None:
        """Move some users, and mail for them, to other workers."""
        self._workers.placement.move(move)
        for worker in self._workers:
            if worker.up:
                self.send(worker, move)

    def pass_down(self, envelope: Envelope) -> None:
        """Forward an envelope to its worker; drop it if the worker is gone."""
        part, index, incarnation = envelope.header()
        worker = self._workers.by_number.get(index)
        if worker is None:
            return
        if part in BETWEEN_WORKERS and not (worker.up and self._bus.accepts_mail(worker.child)):
            worker.mail_dropped += 1
        elif worker.up and incarnation in (0, worker.incarnation):
            self.send(worker, envelope)

    # Lifecycle

    def forked(self, forked: Forked) -> None:
        """Record a new worker process, which is about to join."""
        worker = self._workers.by_number[forked.worker]
        worker.incarnation, worker.pid = forked.incarnation, forked.pid
        worker.child = WorkerId("", worker.index, forked.incarnation).child
        self._bus.expect(worker.child)

    def joined(self, child: str, pid: int, stopping: bool) -> None:
        """Let a worker join; it gets users unless the node is `stopping`."""
        worker = next((one for one in self._workers if one.child == child), None)
        if worker is None or worker.up:
            return
        worker.up = True
        if stopping:
            self.send(worker, StopUsers(0.0))
            return
        for move in self._workers.placement.moves:
            self.send(worker, move)
        restart = self._workers.users_in(RESTARTABLE, worker)
        self._workers.mark(restart, UserState.RESTARTING)
        start = self._workers.users_in((UserState.STARTING,), worker)
        which = {"worker": worker.index, "incarnation": worker.incarnation, "pid": pid}
        _log.info("worker has joined; %d users to start again", len(restart), extra=which)
        self._report(WorkerUp(worker.index, worker.incarnation, pid, restart, start))

    def died(self, died: Died) -> bool:
        """Record a worker's death; return whether it had joined."""
        worker = self._workers.by_number[died.worker]
        self._bus.forget(worker.child)
        was_up, worker.up, worker.pid = worker.up, False, 0
        if died.status:
            self._board.area(died.worker).forget_gauges()  # values of a dead worker
        # The worker is dead: until its users are dealt again, the node may write their states.
        removed = self._workers.users_in((UserState.STOPPING,), worker)
        self._workers.mark(removed, UserState.REMOVED)
        if was_up:
            record_silence(self._board, died.worker, worker.cpu_ns)
        return was_up

    def lost(self, died: Died, was_up: bool) -> str:
        """Report an unexpected death of a worker.

        Returns:
            Why replacing it again would be pointless; empty if it would not.
        """
        how = f"worker {died.worker} {process.describe_exit(died.status)}"
        which = {"worker": died.worker, "incarnation": died.incarnation}
        _log.warning("%s", how, extra=which)
        slots = self._board.area(died.worker).throttle(ARRIVAL_RATE)
        passed = slots.executions + slots.missed
        self._report(WorkerLost(died.worker, died.incarnation, how, passed))
        hopeless = self._workers.by_number[died.worker].count_loss(was_up, died.age_ns)
        return f"{how} {hopeless}" if hopeless else ""
