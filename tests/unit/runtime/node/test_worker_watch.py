"""What a node records about its workers' users between two samples."""

from __future__ import annotations

from types import SimpleNamespace

from amoc.base.operator_log import OperatorLog
from amoc.metrics.board import Board
from amoc.metrics.health_figures import NodePoint, cell
from amoc.runtime.node.worker_watch import WorkerWatch
from amoc.runtime.node.workers import WorkerTable

USERS = cell("users")


def test_the_most_users_at_once_are_those_of_all_workers_when_some_had_started(tmp_path) -> None:
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
