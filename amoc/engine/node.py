"""The node: one host's share of a run.

It is started with a `Bootstrap` on its standard input, which then stays open as its lifeline: when
it ends, the controller is dead and the node lets its users finish and leaves. It maps the board and
forks the supervisor before anything else runs; then it relays commands and reports, samples the
board once a second and watches over its workers.
"""

from __future__ import annotations

import contextlib
import os
import shutil
import signal
import sys
import traceback
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Any

import gevent
import zmq
from gevent import socket as gsocket
from gevent.event import AsyncResult, Event

from amoc import bus
from amoc.board import ALIVE, Board, Cell, UserState
from amoc.engine import link, placement, process, supervisor
from amoc.engine.sampling import note_silence, take_sample
from amoc.errors import ExitCode
from amoc.lines import Lines, Ration
from amoc.messages import (
    Bootstrap,
    CrashSeen,
    Died,
    Failed,
    Forked,
    Go,
    Hello,
    Init,
    KillWorker,
    Loaded,
    Note,
    Output,
    Ready,
    Record,
    Started,
    StartUsers,
    Stopped,
    StopUsers,
    Terminate,
    Terminated,
    UsersGone,
    WorkerLost,
    WorkerUp,
)
from amoc.timing import S_NS, now_ns

SAMPLE_S = 1.0
JOIN_S = 10.0
SILENT_NS = 5 * S_NS
"""A worker whose loop has not turned for so long is spoken of."""
MOST_STILLBORN = 3
"""Workers of one slot that may die before they take users; then the run is given up."""
SHORT_LIFE_NS = 2 * S_NS
MOST_SHORT_LIVES = 10
"""Workers of one slot that may die within `SHORT_LIFE_NS` in a row; then the run is given up."""
MOST_LINES = 2_000
MOST_CHARACTERS = 1 << 18
"""What the scenario may print each second, lines and characters; more is left out, and counted."""
PEAK_S = 0.05
"""How often the number of users alive is looked at, to know the most there were at once."""
KILL_MARGIN_S = 5.0
"""On top of the time-out and the time for `finally`: then a worker is taken to hang and killed."""


@dataclass
class _Slot:
    """What the node knows of the worker in a slot."""

    epoch: int = 0
    pid: int = 0
    up: bool = False
    stillborn: int = 0
    short_lives: int = 0
    silent: bool = False
    cpu_ns: int = 0
    """What it had used when it was found to hang."""
    gone: UsersGone | None = None


@dataclass
class _Stopping:
    """How far the end has come."""

    done: Event = field(default_factory=Event)
    terminated: AsyncResult[Terminated] = field(default_factory=AsyncResult)
    begun: bool = False
    lost: int = 0
    """Users of workers that died since."""


@dataclass(frozen=True)
class Ends:
    """One side's descriptors of what connects node and supervisor.

    Attributes:
        line: The socket for commands and reports.
        output: What the scenario prints goes in here, and comes out at the node's side.
    """

    line: int
    output: int


class Node:
    """Relays, samples, watches.

    Attributes:
        alone: Whether the controller is gone.
    """

    def __init__(
        self, bootstrap: Bootstrap, board: Board, supervisor_pid: int, ends: Ends, directory: str
    ) -> None:
        self._bootstrap = bootstrap
        self._board = board
        self._supervisor_pid = supervisor_pid
        self._line = gsocket.socket(fileno=ends.line)
        self._output = ends.output
        self._printed = Event()
        self._line_ended = Event()
        self._slots = [_Slot() for _ in range(board.slots)]
        self._ids = range(0)  # from the lowest to the highest user that was dealt here
        self._users_peak = 0
        self._stopping = _Stopping()
        self._ready = False
        self._leave = Event()
        self.alone = False
        self._context = zmq.Context()
        self._workers = bus.Parent(self._context, directory)
        self._controller = bus.Child(self._context, bootstrap.endpoint, f"node{bootstrap.node}")

    def run(self) -> None:
        """Join the controller, then relay until there is nothing more to do."""
        with self._workers, self._controller:
            gevent.spawn(self._guarded, self._watch_lifeline)
            joining = gevent.spawn(self._controller.join, JOIN_S)
            either: list[Any] = [joining, self._leave]
            gevent.wait(either, count=1)
            if not self._leave.is_set():
                joining.get()
                self._relay()
            self._kill_supervisor()  # it has said its last word, and its workers go with it
            self._printed.wait(1.0)
            self._controller.flush(2.0)
        # Not before the last report is out, if there is anybody to hear it.
        self._context.destroy(linger=0 if self.alone else bus.LINGER_MS)

    def _relay(self) -> None:
        """Pass on, sample and watch until it is time to leave."""
        for task in (
            self._pass_on_output,
            self._hear_supervisor,
            self._watch_supervisor,
            self._hear_workers,
            self._hear_controller,
        ):
            gevent.spawn(self._guarded, task)
        sampling = gevent.spawn(self._guarded, self._sample_each_second)
        gevent.spawn(self._guarded, self._watch_peak)
        self._leave.wait()
        sampling.kill()

    def _guarded(self, task: object) -> None:
        try:
            task()  # type: ignore[operator]
        except gevent.GreenletExit:
            raise
        except BaseException:
            self._give_up(ExitCode.INTERNAL, traceback.format_exc())

    def _report(self, record: Record) -> None:
        self._controller.report_nowait(record)

    def _give_up(self, code: ExitCode, message: str) -> None:
        """End the supervisor (the kernel ends its workers), say why, leave."""
        self._kill_supervisor()
        self._report_sample()
        self._report(Failed(int(code), message))
        self._leave.set()

    def _kill_supervisor(self) -> None:
        if self._supervisor_pid:
            os.kill(self._supervisor_pid, signal.SIGKILL)
            os.waitpid(self._supervisor_pid, 0)
            self._supervisor_pid = 0

    # From the supervisor

    def _pass_on_output(self) -> None:
        """What the scenario prints goes to the controller; without one it goes nowhere."""
        lines = Lines()
        ration = Ration(MOST_LINES, MOST_CHARACTERS)
        ended = False
        while not ended:
            whole: list[str] = []
            # The time-out is for the remark on what was left out.
            with contextlib.suppress(gsocket.timeout):
                gsocket.wait_read(self._output, timeout=SAMPLE_S)
                data = os.read(self._output, 65536)
                whole, ended = lines.feed(data), not data
            passed = ration.take(whole, now_ns())
            if passed or ended:
                self._controller.report(Output([*passed, *(ration.remark() if ended else [])]))
        self._printed.set()

    def _hear_supervisor(self) -> None:
        decoder = link.Decoder()
        while data := self._line.recv(65536):
            for record in decoder.feed(data):
                self._hear(record)
        self._line_ended.set()

    def _watch_supervisor(self) -> None:
        # Not by the end of its line: a process that init() forked may hold that open.
        death = os.pidfd_open(self._supervisor_pid)
        gsocket.wait_read(death)
        os.close(death)
        self._line_ended.wait(0.5)  # what it said last comes before how it ended
        if not self._supervisor_pid:
            return
        _, status = os.waitpid(self._supervisor_pid, 0)
        self._supervisor_pid = 0
        if self._leave.is_set() or self._stopping.terminated.ready():
            return
        how = process.how_it_ended(os.waitstatus_to_exitcode(status))
        self._give_up(ExitCode.NODE_LOST, f"the supervisor of node {self._bootstrap.node} {how}")

    def _hear(self, record: Record) -> None:
        match record:
            case Forked(slot, epoch, pid):
                self._slots[slot].epoch, self._slots[slot].pid = epoch, pid
                self._workers.expect(f"w{slot}.{epoch}")
            case Died():
                self._worker_died(record)
            case Failed():
                self._report(record)
                self._leave.set()
            case Terminated():
                self._stopping.terminated.set(record)
            case Loaded() | Ready() | Note():
                self._ready = self._ready or isinstance(record, Ready)
                self._report(record)

    def _worker_died(self, died: Died) -> None:
        slot = self._slots[died.slot]
        self._workers.forget(f"w{died.slot}.{died.epoch}")
        was_up, slot.up, slot.pid = slot.up, False, 0
        if was_up:
            note_silence(self._board, died.slot, slot.cpu_ns)
        if self._stopping.begun:
            if slot.gone is None:
                slot.gone = UsersGone(died.slot, 0, [])
                how = process.how_it_ended(died.status)
                self._report(Note("error", f"worker {died.slot} {how} before its users had left"))
                self._stopping.lost += self._take_out(died.slot, ALIVE)
            self._check_stopped()
            return
        slot.stillborn = 0 if was_up else slot.stillborn + 1
        slot.short_lives = slot.short_lives + 1 if died.age_ns < SHORT_LIFE_NS else 0
        how = process.how_it_ended(died.status)
        self._report(WorkerLost(died.slot, died.epoch, f"worker {died.slot} {how}"))
        if slot.short_lives >= MOST_SHORT_LIVES:
            self._give_up(
                ExitCode.WORKERS_LOST,
                f"worker {died.slot} {how} within {SHORT_LIFE_NS // S_NS} s of its start,"
                f" {slot.short_lives} times in a row",
            )
        elif slot.stillborn >= MOST_STILLBORN:
            self._give_up(
                ExitCode.WORKERS_LOST,
                f"worker {died.slot} {how} before it took any user,"
                f" {slot.stillborn} times in a row",
            )

    # From the workers

    def _hear_workers(self) -> None:
        for envelope in self._workers.reports():
            if envelope is None:
                continue
            match envelope.record:
                case Hello(pid):
                    self._worker_up(envelope.child, pid)
                case UsersGone():
                    self._slots[envelope.record.slot].gone = envelope.record
                    self._check_stopped()
                case Started() | CrashSeen() | Note():
                    self._report(envelope.record)

    def _worker_up(self, child: str, pid: int) -> None:
        number, epoch = (int(part) for part in child.removeprefix("w").split("."))
        slot = self._slots[number]
        if slot.up or slot.epoch != epoch:
            return
        slot.up = True
        if self._stopping.begun:
            self._workers.send(child, StopUsers(0.0))
            return
        ids = self._ids_of(number)
        # Their worker is dead: until they are dealt anew the bytes of these users are ours.
        restart = self._board.users_in(ALIVE, ids)
        self._mark(restart, UserState.RESTARTING)
        start = self._board.users_in((UserState.STARTING,), ids)
        self._report(WorkerUp(number, epoch, pid, restart, start))

    # From the controller

    def _hear_controller(self) -> None:
        for command in self._controller.commands():
            match command:
                case StartUsers():
                    self._start_users(command)
                case Init():
                    link_write(self._line, command)
                case StopUsers(timeout_s):
                    gevent.spawn(self._guarded, lambda: self._stop(timeout_s))
                case Terminate():
                    gevent.spawn(self._guarded, self._terminate)

    def _start_users(self, command: StartUsers) -> None:
        lowest, highest = min(command.ids), max(command.ids)
        if self._ids:
            lowest, highest = min(lowest, self._ids.start), max(highest, self._ids.stop - 1)
        self._ids = range(lowest, highest + 1)
        if not command.again:
            self._mark(command.ids, UserState.STARTING)
        slot = self._slots[command.slot]
        if slot.up:
            self._workers.send(f"w{command.slot}.{slot.epoch}", command)
        # Else its worker has just died; the next one will find these users on the board.

    def _watch_lifeline(self) -> None:
        while True:
            gsocket.wait_read(0)
            if not os.read(0, 4096):
                self._lost_controller("the controller is gone")
                return

    def _lost_controller(self, why: str) -> None:
        with contextlib.suppress(OSError):  # who would read it may be gone
            print(f"amoc: node {self._bootstrap.node} stops: {why}", file=sys.stderr)
        gevent.spawn(self._guarded, self._end_alone)

    def _end_alone(self) -> None:
        self.alone = True
        if self._ready:
            self._stop(self._bootstrap.stop_timeout_s)
            self._terminate()
        shutil.rmtree(self._bootstrap.endpoint, ignore_errors=True)  # nobody else is left to do it
        self._leave.set()

    # The end

    def _stop(self, timeout_s: float) -> None:
        """Let all users of all workers leave; a worker that does not answer in time is killed."""
        if self._stopping.begun:
            self._stopping.done.wait()
            return
        self._stopping.begun = True
        link_write(self._line, StopUsers(timeout_s))
        for number, slot in enumerate(self._slots):
            if slot.up:
                self._workers.send(f"w{number}.{slot.epoch}", StopUsers(timeout_s))
            else:
                # It was told when the worker died; a replacement gets no users any more.
                self._take_out(number, ALIVE)
                slot.gone = UsersGone(number, 0, []) if not slot.pid else None
        self._check_stopped()
        if not self._stopping.done.wait(timeout_s + 2.0 + KILL_MARGIN_S):
            for number, slot in enumerate(self._slots):
                if slot.gone is None:
                    self._report(
                        Note("error", f"worker {number} did not stop in time and is killed")
                    )
                    slot.cpu_ns = process.cpu_ns(slot.pid) or 0
                    link_write(self._line, KillWorker(number, slot.epoch))
            self._stopping.done.wait(KILL_MARGIN_S)
        for number in range(len(self._slots)):
            self._take_out(number, (UserState.RESTARTING,))
        answers = [slot.gone for slot in self._slots if slot.gone is not None]
        self._report_sample()
        self._report(
            Stopped(
                killed=sum(gone.killed for gone in answers),
                stuck=[user_id for gone in answers for user_id in gone.stuck],
                lost=self._stopping.lost,
            )
        )

    def _take_out(self, slot: int, states: tuple[UserState, ...]) -> int:
        """The users of `slot` in one of `states` will not come back; how many there are.

        Their worker is dead, or has said that it has no users any more.
        """
        ids = self._ids_of(slot)
        users = self._board.users_in(states, ids)
        self._mark(users, UserState.REMOVED)
        self._mark(self._board.users_in((UserState.STARTING,), ids), UserState.NONE)
        return len(users)

    def _ids_of(self, slot: int) -> range:
        """The users of `slot`, as far as any were dealt."""
        first, last = self._ids.start, self._ids.stop - 1
        return placement.ids_of(first, last, 0, 1, slot, len(self._slots))

    def _mark(self, ids: Iterable[int], state: UserState) -> None:
        for user_id in ids:
            self._board.users[user_id] = state

    def _check_stopped(self) -> None:
        if self._stopping.begun and all(slot.gone is not None for slot in self._slots):
            self._stopping.done.set()

    def _terminate(self) -> None:
        """End the workers and have the supervisor run terminate()."""
        for number, slot in enumerate(self._slots):
            if slot.up:
                self._workers.send(f"w{number}.{slot.epoch}", Go())
        link_write(self._line, Terminate())
        deadline_s = self._bootstrap.init_timeout_s
        try:
            last = self._stopping.terminated.get(timeout=deadline_s + supervisor.GRACE_S)
        except gevent.Timeout:
            last = Terminated(
                f"terminate() must return within {deadline_s:g} s, but is still running"
            )
        self._report_sample()
        self._report(last)
        self._leave.set()

    # Samples

    def _sample_each_second(self) -> None:
        due_ns = now_ns()
        while True:
            self._report_sample()
            self._speak_of_silence()
            due_ns += int(SAMPLE_S * S_NS)
            gevent.sleep(max(0, due_ns - now_ns()) / S_NS)

    def _report_sample(self) -> None:
        self._note_peak()
        self._report(take_sample(self._board, self._ids, self._users_peak))

    def _watch_peak(self) -> None:
        while True:
            self._note_peak()
            gevent.sleep(PEAK_S)

    def _note_peak(self) -> None:
        rows = [self._board.row(slot) for slot in range(self._board.slots)]
        # Between two looks users may come and go; each worker knows its own peak exactly.
        busiest = max(row[Cell.USERS_PEAK] for row in rows)
        self._users_peak = max(self._users_peak, busiest, sum(row[Cell.USERS] for row in rows))

    def _speak_of_silence(self) -> None:
        for number, slot in enumerate(self._slots):
            row = self._board.row(number)
            silent = slot.up and now_ns() - row[Cell.HEARTBEAT_NS] > SILENT_NS
            if silent and not slot.silent:
                self._report(
                    Note(
                        "warning",
                        f"worker {number} has not turned its loop for {SILENT_NS // S_NS} s:"
                        " a user blocks it, or the machine is overloaded",
                    )
                )
            slot.silent = silent


def link_write(line: gsocket.socket, record: Record) -> None:
    """Send `record` to the supervisor; if that is gone, reading from it says so."""
    with contextlib.suppress(OSError):
        line.sendall(link.encode(record))
