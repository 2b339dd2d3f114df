"""The end of a node: first its users, then its workers and the scenario.

All workers are told to let their users finish. A worker that does not answer in time is killed, one
that dies meanwhile is not replaced, and their users are lost. When no users are left the workers
exit, and the supervisor runs terminate().
"""

from __future__ import annotations

from collections.abc import Callable

import gevent
from gevent.event import AsyncResult, Event

from amoc.base import process
from amoc.base.operator_log import OperatorLog
from amoc.ipc.messages.lifecycle import Died, Go, KillWorker, Terminate, Terminated
from amoc.ipc.messages.links import ToSupervisor, ToWorker
from amoc.ipc.messages.users import Stopped, StopUsers, UsersGone
from amoc.metrics.board import UserState
from amoc.runtime.node.workers import WorkerState, WorkerTable
from amoc.runtime.worker_spec import GRACE_S
from amoc.users.removal import FINALLY_S

KILL_MARGIN_S = 5.0
"""Added to the timeout and the time for `finally`; after that a worker counts as hung, and is
killed."""


class Shutdown:
    """The end of a node's users, workers and scenario.

    Attributes:
        begun: Whether users were asked to stop.
        terminated: The supervisor's last report.
    """

    def __init__(
        self,
        workers: WorkerTable,
        to_worker: Callable[[WorkerState, ToWorker], None],
        to_supervisor: Callable[[ToSupervisor], None],
        operator: OperatorLog,
    ) -> None:
        self.begun = False
        self.terminated: AsyncResult[Terminated] = AsyncResult()
        self._workers = workers
        self._to_worker = to_worker
        self._to_supervisor = to_supervisor
        self._operator = operator
        self._done = Event()

    def stop(self, timeout_s: float, asked: Callable[[], None] = lambda: None) -> Stopped | None:
        """Let all users of all workers leave.

        Args:
            timeout_s: How long they may take.
            asked: Called once the workers have been told.

        Returns:
            How that went. None if another caller has already asked, once it is done.
        """
        if self.begun:
            self._done.wait()
            return None
        self.begun = True
        self._to_supervisor(StopUsers(timeout_s))
        for worker in self._workers:
            if worker.up:
                self._to_worker(worker, StopUsers(timeout_s))
            else:
                self._workers.lose(worker)  # a replacement gets no users any more
                worker.gone = UsersGone(worker.index, 0, []) if not worker.pid else None
        asked()
        self._check()
        if not self._done.wait(timeout_s + FINALLY_S + KILL_MARGIN_S):
            self._kill_silent()
            self._done.wait(KILL_MARGIN_S)
        for worker in self._workers:
            self._workers.lose(worker, (UserState.RESTARTING,))
        answers = [worker.gone for worker in self._workers if worker.gone is not None]
        self._done.set()
        return Stopped(
            killed=sum(gone.killed for gone in answers),
            stuck=[user_id for gone in answers for user_id in gone.stuck],
            lost=self._workers.lost,
        )

    def _kill_silent(self) -> None:
        for worker in self._workers:
            if worker.gone is None:
                text = f"worker {worker.index} did not stop in time and is killed"
                self._operator.error(text)
                worker.cpu_ns = process.cpu_ns(worker.pid) or 0
                self._to_supervisor(KillWorker(worker.index, worker.incarnation))

    def users_gone(self, gone: UsersGone) -> None:
        """Record that a worker has no users any more."""
        self._workers.by_number[gone.worker].gone = gone
        self._check()

    def worker_died(self, died: Died) -> None:
        """Record the death of a worker during the shutdown."""
        worker = self._workers.by_number[died.worker]
        if worker.gone is None:
            worker.gone = UsersGone(worker.index, 0, [])
            how = process.describe_exit(died.status)
            self._operator.error(f"worker {worker.index} {how} before its users had left")
            self._workers.lose(worker)
        self._check()

    def _check(self) -> None:
        if self.begun and all(worker.gone is not None for worker in self._workers):
            self._done.set()

    def terminate(self, deadline_s: float) -> Terminated:
        """End the workers, then the scenario; return the supervisor's report about that."""
        for worker in self._workers:
            if worker.up:
                self._to_worker(worker, Go())
        self._to_supervisor(Terminate())
        try:
            return self.terminated.get(timeout=deadline_s + GRACE_S) or Terminated("")
        except gevent.Timeout:
            return Terminated(
                f"terminate() must return within {deadline_s:g} s, and is still running"
            )
