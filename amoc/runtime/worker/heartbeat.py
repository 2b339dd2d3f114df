"""A worker's heartbeat: ten times a second it records the loop's lateness and the CPU time used.

Everything goes to the worker's row of the board, so it outlives the process: times and counts are
totals over all incarnations, and a replacement continues where its predecessor was killed. The cost
is some 0.1 ms per second, unless the loop stalls.

An idle worker beats only every `REST_NS`, because waking up is most of the cost of a beat.
Meanwhile each turn of the loop is watched: the stall detector is armed for it, and skipped beats
that were due in a turn count as late by the rest of that turn. If there are many turns, normal
beats resume.
"""

from __future__ import annotations

import gc
import time
from collections import Counter
from collections.abc import Callable, Iterable
from resource import RUSAGE_SELF, getrusage

import gevent

from amoc import metrics
from amoc.base import process
from amoc.base.clock import MS_NS, S_NS, now_ns
from amoc.base.loop_turns import LoopTurns
from amoc.base.proc_files import ProcFile
from amoc.base.ticks import to_next_tick_s
from amoc.base.waiting import Notify
from amoc.ipc.messages.links import FromWorker
from amoc.metrics.board import Cell
from amoc.metrics.health_figures import cell
from amoc.runtime import logs
from amoc.runtime.worker.skipped_beats import SkippedBeats
from amoc.runtime.worker.stall_detector import StallDetector

BEAT_NS = 100 * MS_NS
"""Interval between two beats."""
REST_NS = S_NS
"""Interval between two beats of an idle worker, about."""
RESTING_CPU_NS = 10 * MS_NS
"""CPU time in a second below which a worker is idle."""
MAX_TURNS = 50
"""Turns of the loop in `REST_NS` above which it is not idle."""
_CPU_NS, _CPU_WAIT_NS, _GC_NS, _RSS_BYTES = map(cell, ("cpu", "cpu_wait_s", "gc_s", "rss_bytes"))
_PREEMPTED = cell("preemption_rate")
_HEARTBEAT_NS = int(Cell.HEARTBEAT_NS)  # an enum member is looked up again at each use


class Beat:
    """Records the health of a worker."""

    def __init__(
        self,
        row: memoryview,
        detector: StallDetector,
        report: Callable[[FromWorker], None],
        title: Callable[[], str],
    ) -> None:
        """Record to `row`.

        Args:
            row: The worker's row of the board.
            detector: Finds out what blocks the loop.
            report: Sends a report, without blocking.
            title: Returns the present title for the process.
        """
        self._row = row
        self._detector = detector
        self._report = report
        self._make_title = title
        self._lag = metrics.built_in(metrics.Timer, "loop_lag")
        # Totals of previous incarnations.
        self._cpu_before_ns = row[Cell.CPU_BEFORE_NS] = row[_CPU_NS]
        self._cpu_wait_before_ns = row[_CPU_WAIT_NS]
        self._preempted_before = row[_PREEMPTED]
        self._waited_ns = self._collected_ns = 0  # when the loop was last armed for
        self._resting = False
        self._usual_ns = 0
        self._busy = Notify()
        self._turns = LoopTurns(self._turn_begins, self._turn_ends)
        self._schedstat = ProcFile("/proc/self/schedstat", in_one_piece=True)
        self._status = ProcFile("/proc/self/status", in_one_piece=True)
        self._title = ""

    def run(self) -> None:
        """Beat until the worker ends."""
        pauses = Pauses(self._row)
        gc.callbacks.append(pauses.note)
        try:
            while True:
                self._each_second()
                cpu_ns = time.process_time_ns()
                until_ns = now_ns() + S_NS  # late beats do not make a second longer
                while now_ns() < until_ns:
                    if self._resting:
                        self._rest()
                    else:
                        self._beat()
                self._resting = time.process_time_ns() - cpu_ns < RESTING_CPU_NS
        finally:
            self._turns.close()
            gc.callbacks.remove(pauses.note)

    def _note(self) -> int:
        """Record the heartbeat and the CPU time used; return the time."""
        row, now = self._row, now_ns()
        row[_HEARTBEAT_NS] = now
        row[_CPU_NS] = self._cpu_before_ns + time.process_time_ns()
        row[_PREEMPTED] = self._preempted_before + getrusage(RUSAGE_SELF).ru_nivcsw
        return now

    def _watch(self, due_ns: int) -> None:
        """Expect the next turn of the loop by `due_ns`."""
        self._detector.set(due_ns)
        self._waited_ns, self._collected_ns = self._row[_CPU_WAIT_NS], self._row[_GC_NS]

    def _turned(self) -> None:
        """Process a turn of the loop."""
        row = self._row
        # A thread that waits for a CPU does not block the loop.
        row[_CPU_WAIT_NS] = self._cpu_wait_before_ns + waited_ns(self._schedstat.read())
        self._detector.turned(row[_CPU_WAIT_NS] - self._waited_ns, row[_GC_NS] - self._collected_ns)

    def _beat(self) -> None:
        due_ns = self._note() + BEAT_NS
        self._watch(due_ns)
        gevent.sleep(BEAT_NS / S_NS)
        late_ns = now_ns() - due_ns
        self._turned()
        self._lag.record_ns(late_ns)
        if late_ns < BEAT_NS:
            self._usual_ns = late_ns
        # A loop that was blocked for a second would have been late at each beat it missed.
        while (late_ns := late_ns - BEAT_NS) > 0:
            self._lag.record_ns(late_ns)

    # Idle

    def _rest(self) -> None:
        """Replace several beats by one, and watch the loop's turns meanwhile."""
        began_ns = self._turn_ns = self._note()
        self._watch(began_ns + BEAT_NS)  # for the remainder of this turn
        self._skipped = SkippedBeats(began_ns, BEAT_NS)
        self._turns_left = MAX_TURNS
        self._turns.start()
        rest_s = to_next_tick_s(REST_NS / S_NS)
        due_ns = began_ns + int(rest_s * S_NS)
        busy = self._busy.wait(rest_s)
        self._turns.stop()
        self._turned()
        ended_ns = now_ns()
        if due_ns <= ended_ns < due_ns + BEAT_NS:
            self._usual_ns = ended_ns - due_ns
        self._record(self._skipped.end(due_ns, ended_ns, self._usual_ns))
        if busy:
            self._resting = False

    def _turn_begins(self) -> None:
        self._turn_ns = now_ns()
        self._watch(self._turn_ns + BEAT_NS)
        self._turns_left -= 1
        if not self._turns_left:
            self._busy.ring()

    def _turn_ends(self) -> None:
        ended_ns = now_ns()
        if ended_ns - self._turn_ns >= BEAT_NS:
            self._turned()
        self._detector.rest()
        self._record(self._skipped.turn(self._turn_ns, ended_ns))

    def _record(self, late_ns: Iterable[int]) -> None:
        for one, times in Counter(late_ns).items():
            self._lag.record_times(one, times)

    def _each_second(self) -> None:
        row = self._row
        status = self._status.read()
        row[_RSS_BYTES] = bytes_of(b"VmRSS", status)
        # Not ru_maxrss: a forked process inherits its parent's peak there.
        row[Cell.MAX_RSS_BYTES] = max(row[Cell.MAX_RSS_BYTES], bytes_of(b"VmHWM", status))
        title = self._make_title()
        if title != self._title:
            self._title = title
            process.set_title(title)
        self.report()
        logs.tick()

    def report(self) -> None:
        """Report what has blocked the worker since the last report."""
        for blocked in self._detector.take():
            self._report(blocked)


class Pauses:
    """Sums the time for which the garbage collector stops the process; a callback of `gc`."""

    def __init__(self, row: memoryview) -> None:
        self._row = row
        self._began_ns = 0

    def note(self, phase: str, _: object) -> None:
        """Process the start or the end of a collection."""
        if phase == "start":
            self._began_ns = now_ns()
        elif self._began_ns:
            self._row[_GC_NS] += now_ns() - self._began_ns
            self._began_ns = 0


def waited_ns(schedstat: bytes) -> int:
    """Return the ns a thread has waited for a CPU, from ``/proc/self/schedstat``; 0 if unknown."""
    fields = schedstat.split()
    return int(fields[1]) if len(fields) > 1 else 0


def bytes_of(name: bytes, status: bytes) -> int:
    """Return one of the sizes in ``/proc/self/status`` in bytes; 0 if it is missing."""
    _, _, rest = status.partition(name + b":")
    return int(rest.split(None, 1)[0]) * 1024 if rest else 0
