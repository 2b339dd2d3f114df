"""Figures of users that a node records between two samples."""

from __future__ import annotations

import os
import signal
import subprocess
from types import SimpleNamespace

import pytest

from amoc.base import process
from amoc.base.clock import S_NS, now_ns
from amoc.base.operator_log import OperatorLog
from amoc.metrics.board import Board, Cell
from amoc.metrics.health_figures import NodePoint, cell
from amoc.runtime.node.worker_watch import WorkerWatch
from amoc.runtime.node.workers import WorkerTable

USERS = cell("users")


def test_the_peak_of_users_is_summed_over_all_workers(tmp_path) -> None:
    board = Board(2, 100)
    host = SimpleNamespace(figures=lambda: NodePoint("node0"), fds=lambda _: 0)
    reports: list = []
    watch = WorkerWatch(
        board, WorkerTable(board), reports.append, OperatorLog(), host, 100, str(tmp_path)
    )
    for users in ((3, 4), (5, 1), (2, 2)):
        for worker, count in enumerate(users):
            board.row(worker)[USERS] = count
        watch.note_peak()
    watch.report_sample()
    assert reports[-1].users_peak == 7


@pytest.mark.parametrize(
    ("silent_s", "overdue_s", "stopped", "warns"),
    [
        (6, 6, False, True),  # it was not resting
        (6, 2, False, False),
        (6, 2, True, True),
        (4, 1, True, False),
        (9, 6, False, True),
    ],
)
def test_a_worker_that_rests_is_silent_if_it_is_stopped_or_overdue(
    tmp_path, silent_s: int, overdue_s: int, stopped: bool, warns: bool
) -> None:
    board, warnings = Board(1, 100), []
    host = SimpleNamespace(figures=lambda: NodePoint("node0"), fds=lambda _: 0)
    workers = WorkerTable(board)
    operator = OperatorLog(lambda _, text: warnings.append(text))
    watch = WorkerWatch(board, workers, lambda _: None, operator, host, 100, str(tmp_path))
    with subprocess.Popen(["sleep", "1000"]) as child:
        try:
            if stopped:
                os.kill(child.pid, signal.SIGSTOP)
                while not process.is_stopped(child.pid):
                    os.sched_yield()
            (worker,) = workers
            worker.pid, worker.up = child.pid, True
            row = board.row(0)
            row[Cell.HEARTBEAT_NS] = now_ns() - silent_s * S_NS
            row[Cell.RESTS_UNTIL_NS] = now_ns() - overdue_s * S_NS
            watch.each_second()
        finally:
            child.kill()
    assert bool(warnings) is warns
    assert not warns or ("was stopped" in warnings[0]) is stopped
