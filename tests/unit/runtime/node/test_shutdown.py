"""The shutdown of a node: users are asked to finish before anything else."""

from __future__ import annotations

import gevent

from amoc.base.operator_log import OperatorLog
from amoc.ipc.messages.users import StopUsers, UsersGone
from amoc.metrics.board import Board
from amoc.runtime.node.shutdown import Shutdown
from amoc.runtime.node.workers import WorkerTable


def test_all_users_are_asked_to_stop_before_the_next_sample():
    workers, done = WorkerTable(Board(2, 10)), []
    for worker in workers:
        worker.pid, worker.up = 1, True
    shutdown = Shutdown(
        workers,
        lambda worker, order: done.append((worker.index, order)),
        lambda order: done.append(("supervisor", order)),
        OperatorLog(lambda *_: None),
    )

    def sample() -> None:
        done.append("sample")
        for index in (0, 1):  # their replies arrive meanwhile
            shutdown.users_gone(UsersGone(index, 0, []))

    stopped = gevent.spawn(shutdown.stop, 5.0, sample).get(timeout=60)
    order = StopUsers(5.0)
    assert done == [("supervisor", order), (0, order), (1, order), "sample"]
    assert (stopped.killed, stopped.stuck, stopped.lost) == (0, [], 0)
