"""Figures of users that a node records between two samples."""

from __future__ import annotations

from types import SimpleNamespace

from amoc.base.operator_log import OperatorLog
from amoc.metrics.board import Board
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
