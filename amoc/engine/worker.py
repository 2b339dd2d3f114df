"""A worker: one gevent hub, its users, its row of the board, its line to the node.

Its parts (throttles, coordinators, mail, calls, orders) speak with their other ends in parcels,
which leave through one outbox.
"""

from __future__ import annotations

import gc
import random
import time
import traceback
from collections.abc import Callable, Mapping
from functools import partial
from typing import Protocol

import gevent
import zmq

from amoc import bus, calls, coordinator, mail, metrics
from amoc.board import Cell
from amoc.coordinator.actions import Actions
from amoc.engine import process
from amoc.engine.causes import Mishaps
from amoc.engine.crowd import Crowd, Orders
from amoc.engine.obeying import Obedience
from amoc.engine.supervisor import Task
from amoc.errors import ExitCode
from amoc.mail import Post
from amoc.messages import Go, Note, Parcel, StartUsers, StopUsers, UsersGone
from amoc.outbox import Outbox
from amoc.throttle import gate as gates
from amoc.throttle.gate import Gate
from amoc.throttle.tasks import count_crashes
from amoc.timing import MS_NS, S_NS, now_ns

BEAT_NS = 100 * MS_NS
"""How often the worker notes that its loop turns, and how late."""
JOIN_S = 10.0
GC_GENERATION_0 = 50_000
"""Objects made before the youngest are looked at: users are many, live long, and hold no cycles."""


class Part(Protocol):
    """A worker's end of something that reaches over all workers."""

    def hear(self, body: bytes, /) -> None:
        """A parcel has come for it."""


def main(task: Task) -> int:
    """Be the worker of `task` until told to go; the exit status."""
    gc.set_threshold(GC_GENERATION_0, 20, 50)
    random.seed(
        f"{task.seed}/{task.slot}/{task.epoch}"
    )  # or all workers would draw the same numbers
    metrics.attach(task.board.area(task.slot), inherit=task.slot == 0 and task.epoch == 1)
    context = zmq.Context()
    with bus.Child(context, task.directory, f"w{task.slot}.{task.epoch}") as line:
        outbox = Outbox(task.epoch, line.report_urgent)
        gate = Gate(task.slot, task.epoch, outbox)
        orders = Orders(
            task.slot, task.seed, task.start, task.scenario_directory, line.report_nowait, gate
        )
        crowd = Crowd(orders, task.board)
        parts = _parts(task, outbox, gate, crowd, line)
        gevent.spawn(_guarded, _beat, task, crowd)
        line.join(JOIN_S)
        gevent.spawn(_guarded, crowd.start_users)
        for command in line.commands():
            match command:
                case StartUsers():
                    crowd.deal(command)
                case Parcel(part, _, _, body):
                    parts[part].hear(body)
                case StopUsers(timeout_s):
                    gevent.spawn(crowd.stop, timeout_s).link_value(partial(_report_gone, line))
                case Go():
                    outbox.flush()
                    line.flush(1.0)
                    break
    context.destroy(linger=bus.LINGER_MS)  # not before the last report is out
    return int(ExitCode.OK)


def _parts(
    task: Task, outbox: Outbox, gate: Gate, crowd: Crowd, line: bus.Child
) -> Mapping[str, Part]:
    """All parts of the worker, known to the modules that scenarios call."""
    slot, report = task.slot, line.report_nowait
    mishaps = Mishaps(task.scenario_directory, report)
    ways = calls.Line(slot, outbox)
    post = Post(
        slot,
        task.epoch,
        task.board.slots,
        outbox,
        crowd.find,
        lambda text: report(Note("warning", text)),
        line.crowded,
    )
    actions = Actions(
        slot,
        outbox,
        lambda name, error: mishaps.tell(f"an action of coordinator {name}", error),
        room=line.room,
    )
    calls.install(ways)
    gates.attach(gate)
    count_crashes(crowd.count_crash)
    coordinator.attach(actions)
    mail.attach(post)
    return {
        "throttle": gate,
        "coordinator": actions,
        "mail": post,
        "calls": ways,
        "control": Obedience(slot, crowd, outbox),
    }


def _guarded(work: Callable[..., object], *arguments: object) -> None:
    """Do what the worker cannot do without; when it fails the worker ends, and is replaced."""
    try:
        work(*arguments)
    except Exception:
        traceback.print_exc()
        process.leave(int(ExitCode.INTERNAL))


def _report_gone(line: bus.Child, stopping: gevent.Greenlet[..., UsersGone]) -> None:
    line.report_nowait(stopping.value)


def _beat(task: Task, crowd: Crowd) -> None:
    """Note every `BEAT_NS` that the loop turns, how late it was, and what the process has used."""
    row = task.board.row(task.slot)
    lag = metrics.timer("loop_lag")
    cpu_before_ns = row[Cell.CPU_NS]  # of the workers that had this slot before
    beats = 0
    while True:
        due_ns = now_ns() + BEAT_NS
        row[Cell.HEARTBEAT_NS] = due_ns - BEAT_NS
        row[Cell.CPU_NS] = cpu_before_ns + time.process_time_ns()
        if beats % 10 == 0:
            row[Cell.MAX_RSS_BYTES] = max(row[Cell.MAX_RSS_BYTES], process.max_rss_bytes())
            process.set_title(f"worker {task.slot} ({len(crowd)} users)")
        beats += 1
        gevent.sleep(BEAT_NS / S_NS)
        late_ns = now_ns() - due_ns
        lag.record_ns(late_ns)
        # A loop that stood still for a second would have been late at each beat it missed.
        while (late_ns := late_ns - BEAT_NS) > 0:
            lag.record_ns(late_ns)
