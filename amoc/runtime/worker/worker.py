"""A worker: one gevent hub, its users, its row of the board, its connection to the node.

Its parts (throttles, coordinators, mail, calls, orders) communicate with the controller or other
workers in envelopes, which all leave through one outbox.
"""

from __future__ import annotations

import logging
import random
import traceback
from collections.abc import Callable

import gevent
import zmq
from gevent import getcurrent

from amoc.base import collector, process
from amoc.base.errors import ExitCode
from amoc.base.loop_guard import guard_loop
from amoc.base.operator_log import OperatorLog
from amoc.base.targets import Targets
from amoc.ipc import bus
from amoc.ipc.messages.envelope import Envelope, Part
from amoc.ipc.messages.events import EVENTS
from amoc.ipc.messages.lifecycle import Go, Note
from amoc.ipc.messages.links import FROM_WORKER, TO_WORKER, FromWorker, ToWorker
from amoc.ipc.messages.placement import Move
from amoc.ipc.messages.users import FailureSeen, StartUsers, StopUsers, TargetSeen
from amoc.ipc.outbox import Outbox
from amoc.ipc.peer_link import PeerLink
from amoc.metrics import registry
from amoc.metrics.board import Cell
from amoc.runtime import logs
from amoc.runtime.forked_child import take_amoc_from_children
from amoc.runtime.stack_file import file_of
from amoc.runtime.worker.arrivals import ArrivalPool
from amoc.runtime.worker.heartbeat import Beat
from amoc.runtime.worker.orders import OrderHandler
from amoc.runtime.worker.spans import Spans
from amoc.runtime.worker.stall_detector import StallDetector
from amoc.runtime.worker.user_pool import UserPool
from amoc.runtime.worker_parts import WorkerParts
from amoc.runtime.worker_spec import WorkerSpec
from amoc.scenario import events
from amoc.steps.recorder import FailureSamples
from amoc.users.run import IterationNumbers
from amoc.users.spawned import note_spawned, owner_of
from amoc.users.user import User

JOIN_S = 30.0
_NUMBERS = int(Cell.ITERATION_NUMBERS)

_log = logging.getLogger(__name__)


Line = bus.Child[ToWorker, FromWorker]


def main(task: WorkerSpec) -> int:
    """Run the worker described by `task` until told to exit; return the exit status."""
    index = task.id.worker
    collector.collect_rarely()
    random.seed(
        f"{task.seed}/{index}/{task.id.incarnation}"
    )  # or all workers would draw the same numbers
    is_first = (index, task.id.incarnation) == (task.board.first, 1)
    registry.current.attach(task.board.area(index), inherit=is_first)
    context = zmq.Context()
    with bus.Child(context, task.directory, task.id.child, TO_WORKER, FROM_WORKER) as line:
        operator = OperatorLog(lambda level, text: line.report_nowait(Note(level, text)))
        logs.attach(operator, _calling_user, task.scenario_directory)
        outbox = Outbox(lambda _, envelope: line.report_urgent(envelope))

        def find_user(user_id: int) -> User | None:
            return pool.find(user_id)

        def on_crash(error: BaseException) -> None:
            pool.crashes.report(error)

        parts = WorkerParts.make(
            task.id,
            task.placement,
            outbox,
            find_user,
            on_crash,
            room=line.room,
            is_crowded=line.crowded,
            operator=operator,
            run_id=task.run_id,
        )
        samples = FailureSamples(
            lambda step, cause, message: line.report_nowait(
                FailureSeen(index, step, cause, message, _calling_user() or 0)
            )
        )
        targets = Targets(lambda address: line.report_nowait(TargetSeen(index, address)))
        context_of_worker = parts.context(samples, targets)
        given = task.board.row(index)[_NUMBERS : _NUMBERS + 1]
        numbers = IterationNumbers(given, index, task.placement.workers)
        context_of_worker.set(IterationNumbers, numbers)
        context_of_worker.activate()
        kind_of_pool = ArrivalPool if task.max_users else UserPool
        pool = kind_of_pool(task, line.report_nowait, parts.gate)
        take_amoc_from_children()
        note_spawned()

        def failed_in_loop(what: object, error: BaseException) -> None:
            owner = owner_of(what)
            pool.crashes.report(error, owner.id if owner is not None else 0)

        guard_loop(failed_in_loop)
        spans = Spans(task, operator)
        handlers = {
            **parts.handlers(),
            Part.CONTROL: OrderHandler(task.id, pool, outbox).handle,
            Part.EVENTS: _deliver_events,
        }
        beat = _beat(task, pool, line)
        gevent.spawn(_guarded, beat.run)
        line.join(JOIN_S)
        _log.info("worker is up")
        gevent.spawn(_guarded, pool.start_users)
        for command in line.commands():
            match command:
                case StartUsers():
                    pool.deal(command)
                case Move():
                    task.placement.move(command)
                    pool.moved()
                case Envelope():
                    handlers[command.header()[0]](command.body)
                case StopUsers(timeout_s):
                    _log.info("%d users have %g s to finish", len(pool), timeout_s)
                    gevent.spawn(_guarded, _stop, pool, timeout_s, parts.link, line)
                case Go():
                    _log.info("worker leaves")
                    parts.link.leave()
                    spans.close()
                    beat.report()
                    logs.end()
                    outbox.flush()
                    line.flush(1.0)
                    break
    context.destroy(linger=bus.LINGER_MS)  # only after the last report has been sent
    return int(ExitCode.OK)


def _deliver_events(body: memoryview) -> None:
    """Deliver the controller's events to the scenario's subscribers."""
    for event in EVENTS.unpack_stream(body):
        events.deliver(event.name, event.at_ns, event.data)


def _beat(task: WorkerSpec, pool: UserPool, line: Line) -> Beat:
    """Create the heartbeat, which records the worker's health."""
    file = file_of(task.directory, task.id.child)
    return Beat(
        task.board.row(task.id.worker),
        StallDetector(task.id.worker, task.scenario_directory, file),
        line.report_nowait,
        lambda: f"worker {task.id.worker} ({len(pool)} users)",
    )


def _guarded(work: Callable[..., object], *arguments: object) -> None:
    """Run a vital part of the worker; if it fails the worker exits, and is replaced."""
    try:
        work(*arguments)
    except BaseException:
        _log.exception("the worker failed with an internal error")
        logs.end()
        traceback.print_exc()
        process.leave(int(ExitCode.INTERNAL))


def _calling_user() -> int | None:
    caller = getcurrent()
    return caller.id if isinstance(caller, User) else None


def _stop(pool: UserPool, timeout_s: float, link: PeerLink, line: Line) -> None:
    """Have all users leave, let libraries inform other workers, and report the end."""
    gone = pool.stop(timeout_s)
    link.users_gone()
    line.report_nowait(gone)
