"""Watches a node's board: samples it every second, records peaks, reports silent workers."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from gevent.lock import BoundedSemaphore

from amoc.base import process
from amoc.base.clock import S_NS, now_ns
from amoc.base.operator_log import OperatorLog
from amoc.base.periodic_yield import PeriodicYield
from amoc.base.text import counted
from amoc.base.waiting import Notify
from amoc.ipc.messages.links import FromNode
from amoc.ipc.messages.users import Blocked, QueryUsers, UsersNow
from amoc.metrics.board import PRESENT, Board, Cell
from amoc.metrics.health_figures import cell
from amoc.metrics.numpy_loading import load_for
from amoc.metrics.workers_together import named_every
from amoc.runtime import logs
from amoc.runtime.node.host_stats import HostStats
from amoc.runtime.node.sampler import Sampler
from amoc.runtime.node.workers import WorkerState, WorkerTable
from amoc.runtime.stack_file import ask, file_of, where_it_hangs
from amoc.users import placement

SAMPLE_S = 1.0
SILENT_NS = 5 * S_NS
"""Time without a turn of a worker's event loop after which the operator is told."""
_USERS = cell("users")
ASK_AT_CHECK = 3
"""After this many unchanged heartbeats the worker is asked for its stack, if it has left none."""


class WorkerWatch:
    """Reports the content of a board."""

    def __init__(
        self,
        board: Board,
        workers: WorkerTable,
        report: Callable[[FromNode], None],
        operator: OperatorLog,
        host: HostStats,
        fd_limit: int,
        directory: str,
    ) -> None:
        """Watch a board.

        Args:
            board: The node's board.
            workers: The node's table of its workers.
            report: Queues a sample for the controller, without blocking.
            operator: Told of workers that are silent or lose mail.
            host: Measures the host.
            fd_limit: How many file descriptors a worker may have open.
            directory: Where workers leave the stacks of code that hangs.
        """
        self._board = board
        self._directory = directory
        self._yield_if_due = PeriodicYield()
        self._sampler = Sampler(board, host, fd_limit, self._yield_if_due, load_for)
        self._sampling = BoundedSemaphore()
        self._acknowledged = Notify()
        self._workers = workers
        self._report = report
        self._operator = operator
        self._users_peak = 0

    def each_second(self) -> None:
        """Report a sample, and what is wrong with workers; call it each `SAMPLE_S`."""
        if self._sampler.due:
            self.report_sample()
        self._report_silence()
        self._report_dropped_mail()
        logs.tick()

    def report_sample(self, last: bool = False) -> None:
        """Report the present state of the board; yields to the event loop meanwhile.

        Args:
            last: Whether to repeat all that the controller has not acknowledged, as there may be no
                further sample.
        """
        self.note_peak()
        with self._sampling:  # one greenlet at a time
            self._yield_if_due.begin()
            gone = self._workers.take_gone()
            every = named_every(self._workers.placement.layout.workers)
            sample = self._sampler.take(self._workers.ids, self._users_peak, last, gone, every)
        self._report(sample)
        for note in self._sampler.take_notes():
            self._operator.warning(note)

    def report_users(self, asked: QueryUsers) -> None:
        """Report the present state of users; the metrics of a second come with its sample."""
        states = self._board.count_users(self._workers.ids)
        users = {int(state): count for state, count in states.items()}
        alive = [self._board.row(worker)[_USERS] for worker in self._board.numbers]
        present, beyond = 0, []
        if asked.keep >= 0:
            ids = placement.within(self._workers.ids, asked.first, asked.last)
            known = states if len(ids) == len(self._workers.ids) else self._board.count_users(ids)
            present = sum(known.get(state, 0) for state in PRESENT)
            beyond = self._board.highest_in(PRESENT, ids, present - asked.keep)
        self._report(UsersNow(asked.number, now_ns(), users, alive, beyond, present))

    def acknowledge(self, sequence: int) -> None:
        """Record that the controller has received sample `sequence`."""
        self._sampler.acknowledge(sequence)
        self._acknowledged.ring()

    def wait_acknowledged(self, deadline_s: float) -> None:
        """Wait until the controller has acknowledged all samples, or for `deadline_s`."""
        until_ns = now_ns() + int(deadline_s * S_NS)
        while self._sampler.unacknowledged and (left_ns := until_ns - now_ns()) > 0:
            self._acknowledged.wait(left_ns / S_NS)

    def note_peak(self) -> None:
        """Update the peak number of users; must be called whenever some have started."""
        rows = [self._board.row(worker) for worker in self._board.numbers]
        # Users may come and go between two calls; each worker knows its own peak exactly.
        busiest = max(row[Cell.USERS_PEAK] for row in rows)
        self._users_peak = max(self._users_peak, busiest, sum(row[_USERS] for row in rows))

    def died(self, index: int) -> None:
        """Report where a dead worker was hanging, which it could not report itself."""
        worker = self._workers.by_number[index]
        if worker.silent and (place := where_it_hangs(self._file(worker))):
            ns = now_ns() - self._board.row(worker.index)[Cell.HEARTBEAT_NS]
            self._report(Blocked(worker.index, place, 1, ns, ns, ""))
        self._file(worker).unlink(missing_ok=True)
        worker.silent, worker.checks = False, 0

    def _report_silence(self) -> None:
        for worker in self._workers:
            beat_ns = self._board.row(worker.index)[Cell.HEARTBEAT_NS]
            worker.checks = worker.checks + 1 if worker.up and beat_ns == worker.beat_ns else 0
            worker.beat_ns = beat_ns
            # Once, and after a number of samples rather than a time, as all processes may have been
            # stopped. A resumed process runs Python code again, during which its stack must not be
            # written.
            if worker.checks == ASK_AT_CHECK and not process.is_stopped(worker.pid):
                ask(worker.pid, self._file(worker))
            silent_ns = now_ns() - beat_ns if worker.up else 0
            if silent_ns > SILENT_NS and not worker.silent:
                self._operator.warning(self._describe_silence(worker))
            worker.silent = silent_ns > SILENT_NS

    def _describe_silence(self, worker: WorkerState) -> str:
        if process.is_stopped(worker.pid):
            return f"worker {worker.index} was stopped, by SIGSTOP or a debugger"
        place = where_it_hangs(self._file(worker))
        return f"worker {worker.index}'s event loop has not run for {SILENT_NS // S_NS} s: " + (
            f"it is stuck in {place}" if place else "a user blocks it, or it is waiting for a CPU"
        )

    def _file(self, worker: WorkerState) -> Path:
        return file_of(self._directory, worker.child)

    def _report_dropped_mail(self) -> None:
        for worker in self._workers:
            if worker.mail_dropped:
                dropped, worker.mail_dropped = worker.mail_dropped, 0
                self._operator.warning(
                    f"{counted(dropped, 'envelope')} of mail to worker {worker.index} dropped:"
                    " it has exited, or is not reading"
                )
