"""Samples of a node's board, merged over its workers: all that the controller does not know yet.

What has grown since the latest sample that the controller acknowledged is sent as a total. So the
receiver of a sample knows all that the node knew when it was taken, whichever earlier samples were
lost, late or duplicated.
"""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass, field
from typing import Protocol

from amoc.base import process
from amoc.base.clock import S_NS, now_ns
from amoc.ipc.messages.samples import Sample, WorkerFigures
from amoc.metrics import health_figures
from amoc.metrics.board import MAX_COUNT, Board, Cell, Entry, Kind, Merge
from amoc.metrics.board_reader import AreaReader
from amoc.metrics.health_figures import NodePoint
from amoc.metrics.histogram import CELLS, Histogram, cell_of
from amoc.metrics.throttle_counts import ThrottleCounts

SILENT_NS = S_NS
"""After so long without a heartbeat a worker's CPU time is read from outside."""
MAX_UNACKNOWLEDGED = 8
"""Samples whose changes are kept separately; those of older ones are kept together."""
MAX_NOTES = 50
"""Notes on metrics: a scenario may have thousands that are wrong in the same way."""
_CPU_NS = health_figures.cell("cpu")


class Host(Protocol):
    """What is measured outside the board: `amoc.runtime.node.host_stats.HostStats`."""

    def figures(self) -> NodePoint:
        """The host's health metrics."""

    def fds(self, pid: int) -> int:
        """How many descriptors a process has open."""


@dataclass
class _News:
    """What has grown: names, and of timers the cells."""

    counters: set[str] = field(default_factory=set)
    crashes: set[str] = field(default_factory=set)
    throttles: set[str] = field(default_factory=set)
    timers: dict[str, set[int]] = field(default_factory=dict)

    def add(self, more: _News) -> None:
        self.counters |= more.counters
        self.crashes |= more.crashes
        self.throttles |= more.throttles
        for name, cells in more.timers.items():
            self.timers.setdefault(name, set()).update(cells)


@dataclass
class _Worker:
    """What is remembered of a worker between two samples."""

    reader: AreaReader
    lag: Histogram = field(default_factory=Histogram)  # over all the time
    recent: dict[str, Histogram] = field(default_factory=dict)  # since the sample before
    met: int = 0  # entries of its directory that were looked at


class Sampler:
    """Makes samples of a board."""

    def __init__(self, board: Board, host: Host, fd_limit: int) -> None:
        """Sample `board`; workers may have `fd_limit` descriptors open each."""
        self._board = board
        self._host = host
        self._fd_limit = fd_limit
        self._workers = [_Worker(AreaReader(board.area(worker))) for worker in range(board.workers)]
        self._counters: dict[str, int] = {}
        self._crashes: dict[str, int] = {}
        self._throttles: dict[str, ThrottleCounts] = {}
        self._timers: dict[str, Histogram] = {}
        self._declared: dict[str, Entry] = {}  # as the first worker has declared it
        self._notes: list[str] = []
        self._noted = 0
        self._sequence = 0
        self.unacknowledged: deque[tuple[int, _News]] = deque()

    def acknowledge(self, sequence: int) -> None:
        """The controller knows what sample `sequence` said."""
        while self.unacknowledged and self.unacknowledged[0][0] <= sequence:
            self.unacknowledged.popleft()

    def take_notes(self) -> list[str]:
        """What should be known about metrics since this was last asked; `MAX_NOTES` in all."""
        room = max(0, MAX_NOTES - self._noted)
        notes, self._notes = self._notes[:room], []
        self._noted += len(notes)
        return notes

    def take(self, ids: range, users_peak: int) -> Sample:
        """A sample of now, of the users `ids`."""
        self._sequence += 1
        news, host = self._news(), self._host.figures()
        counters, crashes, timers = self._counters, self._crashes, self._timers
        return Sample(
            sequence=self._sequence,
            at_ns=now_ns(),
            users_peak=users_peak,
            users={int(state): count for state, count in self._board.count_users(ids).items()},
            counters={name: counters[name] for name in news.counters},
            gauges=self._gauges(),
            timers={
                name: (timers[name].max_ns, _flat(timers[name], cells))
                for name, cells in news.timers.items()
            },
            crashes={name: crashes[name] for name in news.crashes},
            throttles={name: tuple(self._throttles[name]) for name in news.throttles},
            waiting=self._waiting(),
            workers=[tuple(self._figures(number)) for number in range(len(self._workers))],
            host=[getattr(host, name) for name in health_figures.NODE],
        )

    def _news(self) -> _News:
        """What has grown since the latest acknowledged sample, after a look at the board."""
        unacknowledged = self.unacknowledged
        unacknowledged.append((self._sequence, self._look()))
        if len(unacknowledged) > MAX_UNACKNOWLEDGED:
            _, oldest = unacknowledged.popleft()
            unacknowledged[0][1].add(oldest)
        news = _News()
        for _, one in unacknowledged:
            news.add(one)
        return news

    def _look(self) -> _News:
        """Take over what has grown on the board, and say what that is."""
        news = _News()
        for worker in self._workers:
            worker.recent.clear()
            self._meet(worker)
            for kind, name, by in worker.reader.changes():
                if isinstance(by, Histogram):
                    self._timers.setdefault(name, Histogram()).add(by.cells, by.max_ns)
                    news.timers.setdefault(name, set()).update(by.cells)
                    if name in health_figures.TIMERS:
                        worker.recent[name] = by
                    continue
                if isinstance(by, ThrottleCounts):
                    counted = self._throttles.get(name, ThrottleCounts())
                    self._throttles[name] = counted.plus(by)
                    news.throttles.add(name)
                    continue
                counts, names = (
                    (self._crashes, news.crashes)
                    if kind is Kind.CRASH
                    else (self._counters, news.counters)
                )
                total = counts.get(name, 0) + by
                if total >= MAX_COUNT and counts.get(name) != MAX_COUNT:
                    self._notes.append(
                        f"counter {name} is at its maximum (2**64 - 1) and is no longer counting"
                    )
                counts[name] = min(total, MAX_COUNT)
                names.add(name)
        return news

    def _meet(self, worker: _Worker) -> None:
        """Note which metrics of a worker are new, and which others have declared differently."""
        entries = worker.reader.entries()
        for one in entries[worker.met :]:
            if one.kind in (Kind.CRASH, Kind.THROTTLE):
                continue
            first = self._declared.setdefault(one.name, one)
            if first.kind is not one.kind:
                kinds = f"{_word(first.kind)} in one worker and a {_word(one.kind)} in another"
                self._notes.append(f"metric {one.name} is a {kinds}; both are reported")
            elif first.merge is not one.merge:
                rules = f"{_word(first.merge)} in one worker and by {_word(one.merge)} in another"
                note = f"gauge {one.name} is merged by {rules}; {_word(first.merge)} is used"
                self._notes.append(note)
        worker.met = len(entries)

    def _waiting(self) -> dict[str, int]:
        waiting: dict[str, int] = {}
        for worker in self._workers:
            for name, count in worker.reader.waiting():
                waiting[name] = waiting.get(name, 0) + count
        return waiting

    def _gauges(self) -> dict[str, tuple[int, list[float]]]:
        gauges: dict[str, tuple[Merge, list[float]]] = {}
        for worker in self._workers:
            for name, merge, value in worker.reader.gauges():
                first = self._declared.get(name)
                rule = first.merge if first is not None and first.kind is Kind.GAUGE else merge
                gauges.setdefault(name, (rule, []))[1].append(value)
        return {name: (int(merge), values) for name, (merge, values) in gauges.items()}

    def _figures(self, number: int) -> WorkerFigures:
        worker, row = self._workers[number], self._board.row(number)
        if recent := worker.recent.get("loop_lag"):
            worker.lag.add(recent.cells, recent.max_ns)
        all_lag_s, pid = _p99_s(worker.lag), row[Cell.PID]
        found = health_figures.readings(
            row,
            {name: _p99_s(timer) for name, timer in worker.recent.items()},
            {"fds": self._host.fds(pid) if pid else 0, "fd_limit": self._fd_limit},
        )
        at_ns, beat_ns = now_ns(), row[Cell.HEARTBEAT_NS]
        silent_ns = max(0, at_ns - beat_ns)
        if silent_ns > SILENT_NS and (used_ns := process.cpu_ns(pid)) is not None:
            # An event loop that hangs records nothing; it must not look idle because of that.
            all_lag_s = max(all_lag_s, silent_ns / S_NS)
            found["lag_p99_s"] = max(found["lag_p99_s"], silent_ns / S_NS)
            found["cpu"] = max(found["cpu"], row[Cell.CPU_BEFORE_NS] + used_ns)
            beat_ns = at_ns
        return WorkerFigures(
            worker=number,
            incarnation=row[Cell.INCARNATION],
            beat_ns=beat_ns,
            users_peak=row[Cell.USERS_PEAK],
            restarted=row[Cell.RESTARTED],
            max_rss_bytes=row[Cell.MAX_RSS_BYTES],
            loop_lag_p99_s=all_lag_s,
            health=list(found.values()),
        )


def _word(one: Kind | Merge) -> str:
    return one.name.lower()


def _p99_s(timer: Histogram) -> float:
    (p99_s,) = timer.quantiles_s(0.99)
    return p99_s


def _flat(timer: Histogram, cells: set[int]) -> list[int]:
    return [number for cell in cells for number in (cell, timer.cells[cell])]


def note_silence(board: Board, worker: int, cpu_ns: int) -> None:
    """Note for a worker that has died for how long it had not noted anything itself.

    An event loop that hung until the end must not look as if it had been on time.
    """
    row = board.row(worker)
    silent_ns = now_ns() - row[Cell.HEARTBEAT_NS]
    if row[Cell.HEARTBEAT_NS] and silent_ns > SILENT_NS:
        lag = board.area(worker).declare(Kind.TIMER, "loop_lag")
        lag[CELLS] = max(lag[CELLS], silent_ns)
        lag[cell_of(silent_ns)] += 1
        row[_CPU_NS] = max(row[_CPU_NS], row[Cell.CPU_BEFORE_NS] + cpu_ns)
