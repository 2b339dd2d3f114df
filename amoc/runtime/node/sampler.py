"""Samples of a node's board, merged over its workers: everything the controller does not know yet.

A sample contains what has changed since the previous one, as totals, so it may arrive late or
twice. The controller acknowledges samples. Values not acknowledged when a later sample is are
considered lost, and repeated in the next one; the last sample of all repeats what is still on its
way. While `MAX_UNACKNOWLEDGED` samples are on their way no more are made: their values stay on the
board, and come with the next one. So the data waiting for a stalled controller is bounded.

Reading the board with a thousand metrics takes some milliseconds. It is done in small pieces,
between which the node's event loop may run.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field

from amoc.base import process
from amoc.base.clock import S_NS, now_ns
from amoc.ipc.messages.samples import Sample
from amoc.metrics import gauge_sums, health_figures, timer_cells, vectors
from amoc.metrics.area import MAX_COUNT, Entry, Kind, Merge
from amoc.metrics.board import Board, Cell
from amoc.metrics.board_reader import AreaReader, Change, TimerChange
from amoc.metrics.gauge_sums import GaugeSum
from amoc.metrics.health_figures import WorkerPoint, sent_figures
from amoc.metrics.histogram import CELLS, Histogram
from amoc.metrics.throttle_counts import ThrottleCounts
from amoc.metrics.timer_block import TimerBlock
from amoc.metrics.timer_sums import TimerSums
from amoc.metrics.vectors import Keys
from amoc.metrics.workers_together import NamedWorkers, sent_together
from amoc.runtime.node.host_stats import HostStats

SILENT_NS = 2 * S_NS
"""After this long without a heartbeat a worker's CPU time is read from outside."""
MAX_UNACKNOWLEDGED = 8
"""Most samples on their way at the same time; one is made each second."""
RETRY_NS = 60 * S_NS
"""After this long another sample is made anyway: the earlier ones may be lost."""
MAX_NOTES = 50
"""Most notes on metrics: a scenario may have thousands with the same mistake."""
_CPU_NS = health_figures.cell("cpu")


@dataclass
class _Changed:
    """What has changed: names, and for timers the keys of their cells."""

    counters: set[str] = field(default_factory=set)
    crashes: set[str] = field(default_factory=set)
    throttles: set[str] = field(default_factory=set)
    timers: set[int] = field(default_factory=set)
    """Numbers of new timers."""
    gone: list[tuple[int, int]] = field(default_factory=list)
    keys: list[Keys] = field(default_factory=list)

    def add(self, more: _Changed) -> None:
        self.counters |= more.counters
        self.crashes |= more.crashes
        self.throttles |= more.throttles
        self.timers |= more.timers
        self.gone += more.gone
        if more.keys:
            self.keys = [vectors.united([*self.keys, *more.keys])]


@dataclass
class _Worker:
    """What is remembered of a worker between two samples."""

    reader: AreaReader
    lag: Histogram = field(default_factory=Histogram)  # of the whole run
    recent: dict[str, Histogram] = field(default_factory=dict)  # since the previous sample
    longest: dict[str, int] = field(default_factory=dict)  # maxima of watched timers, in ns
    readings: Sequence[float] = ()  # its health metrics
    noted_ns: int = 0  # when it has recorded them


class Sampler:
    """Makes samples of a board."""

    def __init__(
        self,
        board: Board,
        host: HostStats,
        fd_limit: int,
        yield_if_due: Callable[[], None] = lambda: None,
        prepare: Callable[[int], None] = lambda _: None,
    ) -> None:
        """Sample a board.

        Args:
            board: The node's board.
            host: Measures the host.
            fd_limit: How many file descriptors a worker may have open.
            yield_if_due: Called between two pieces of work; of this object it may call only
                `acknowledge`.
            prepare: Called with the number of cells of timers that have grown, summed over
                the workers, before these are combined; may wait as `yield_if_due` may.
        """
        self._board = board
        self._host = host
        self._fd_limit = fd_limit
        self._yield_if_due = yield_if_due
        self._prepare = prepare
        self._counters: dict[str, int] = {}
        self._crashes: dict[str, int] = {}
        self._throttles: dict[str, ThrottleCounts] = {}
        self._timers = TimerSums()
        self._workers = [
            _Worker(AreaReader(board.area(worker), self._timers.number, health_figures.TIMERS))
            for worker in board.numbers
        ]
        self._named = NamedWorkers()
        self._declared: dict[str, Entry] = {}  # as the first worker has declared it
        self._notes: list[str] = []
        self._noted = 0
        self._sequence = self._taken_ns = 0
        self.unacknowledged: deque[tuple[int, _Changed]] = deque()
        self._lost = _Changed()

    @property
    def due(self) -> bool:
        """Whether to make another sample: the controller keeps up, or all may be lost."""
        waited_ns = now_ns() - self._taken_ns
        return len(self.unacknowledged) < MAX_UNACKNOWLEDGED or waited_ns > RETRY_NS

    def acknowledge(self, sequence: int) -> None:
        """Record that sample `sequence` has arrived; earlier ones have arrived or are lost."""
        while self.unacknowledged and self.unacknowledged[0][0] <= sequence:
            number, changed = self.unacknowledged.popleft()
            if number < sequence:
                self._lost.add(changed)

    def take_notes(self) -> list[str]:
        """Return notes on metrics since the last call; at most `MAX_NOTES` in all."""
        room = max(0, MAX_NOTES - self._noted)
        notes, self._notes = self._notes[:room], []
        self._noted += len(notes)
        return notes

    def take(
        self,
        ids: range,
        users_peak: int,
        last: bool = False,
        gone: Sequence[tuple[int, int]] = (),
        named_every: int = 0,
    ) -> Sample:
        """Return a sample of the present state, with the users `ids`.

        Args:
            ids: The node's users.
            users_peak: The highest number of users at the same time.
            last: Whether to repeat all that was not acknowledged: there may be no further sample.
            gone: Users that have left since the previous sample, see `Sample.gone`.
            named_every: See `amoc.metrics.workers_together.named_every`.
        """
        changed = self._collect()
        changed.gone += gone
        lost, self._lost = self._lost, _Changed()
        changed.add(lost)
        if last:
            for _, one in self.unacknowledged:
                changed.add(one)
        self._sequence += 1
        self.unacknowledged.append((self._sequence, changed))
        if len(self.unacknowledged) > MAX_UNACKNOWLEDGED:
            _, oldest = self.unacknowledged.popleft()
            self.unacknowledged[0][1].add(oldest)
        # In an idle process packing nothing would take as long as packing little.
        timers = self._packed(changed).wire() if changed.keys or changed.timers else ()
        self._taken_ns = now_ns()
        host = self._host.figures()
        # From here on the event loop does not run: when it does, workers may get other numbers.
        numbers = self._board.numbers
        workers = [self._worker_point(number) for number in numbers]
        counters, crashes = self._counters, self._crashes
        all_named = last or not named_every
        return Sample(
            sequence=self._sequence,
            at_ns=now_ns(),
            users_peak=users_peak,
            users={int(state): count for state, count in self._board.count_users(ids).items()},
            counters={name: counters[name] for name in changed.counters},
            gauges=self._gauges(),
            timers=timers,
            crashes={name: crashes[name] for name in changed.crashes},
            throttles={name: tuple(self._throttles[name]) for name in changed.throttles},
            waiting=self._waiting(),
            workers=[
                *map(
                    sent_figures, workers if all_named else self._named.choose(workers, named_every)
                )
            ],
            host=[getattr(host, name) for name in health_figures.NODE],
            gone=changed.gone,
            first=self._board.first,
            alive=[one.users for one in workers],
            restarted=sum(self._board.row(number)[Cell.RESTARTED] for number in numbers),
            together=sent_together(workers) if named_every else (),
            is_last=last,
        )

    def _packed(self, changed: _Changed) -> TimerBlock:
        self._yield_if_due()
        self._prepare(sum(map(len, changed.keys)))
        changed.keys = [vectors.united(changed.keys)]
        self._yield_if_due()
        return self._timers.totals_at(changed.keys[0], changed.timers, self._yield_if_due)

    def _collect(self) -> _Changed:
        """Take over what has changed on the board, and return what that is."""
        changed = _Changed()
        for worker in self._workers:
            worker.recent.clear()
            self._register(worker, changed)
            for some in worker.reader.changes():
                self._count(some, changed)
                self._yield_if_due()
            for change in worker.reader.timer_changes():
                self._record(worker, change, changed)
                self._yield_if_due()
            for number, max_ns in worker.reader.records():
                self._timers.max_ns[number] = max(max_ns, self._timers.max_ns[number])
                if (name := self._timers.names[number]) in health_figures.TIMERS:
                    worker.longest[name] = max_ns
            for name, recent in worker.recent.items():
                recent.max_ns = worker.longest.get(name, 0)  # all were 0
        return changed

    def _count(self, changes: Iterable[Change], changed: _Changed) -> None:
        """Add the growth of counters and throttles."""
        for kind, name, by in changes:
            if isinstance(by, ThrottleCounts):
                self._throttles[name] = self._throttles.get(name, ThrottleCounts()).plus(by)
                changed.throttles.add(name)
            elif kind is Kind.CRASH:
                self._add(self._crashes, name, by)
                changed.crashes.add(name)
            else:
                self._add(self._counters, name, by)
                changed.counters.add(name)

    def _add(self, counts: dict[str, int], name: str, by: int) -> None:
        known = counts.get(name, 0)
        total = known + by
        if total >= MAX_COUNT:
            if known != MAX_COUNT:
                self._notes.append(
                    f"counter {name} is at its maximum (2**64 - 1) and is no longer counting"
                )
            total = MAX_COUNT
        counts[name] = total

    def _record(self, worker: _Worker, change: TimerChange, changed: _Changed) -> None:
        if not change.keys:
            return
        self._timers.add_at(change.keys, change.by)
        changed.keys.append(change.keys)
        if change.watched:
            for key, count in zip(change.keys, change.by, strict=True):
                name = self._timers.names[key // CELLS]
                recent = worker.recent.setdefault(name, Histogram())
                recent.cells[key % CELLS] = count

    def _register(self, worker: _Worker, changed: _Changed) -> None:
        """Register a worker's new metrics, and note those declared differently by others."""
        while new := worker.reader.read_new():
            for one in new:
                if not one.joint:
                    self._register_one(one, changed)
            self._yield_if_due()

    def _register_one(self, one: Entry, changed: _Changed) -> None:
        if one.kind is Kind.TIMER:
            changed.timers.add(self._timers.number(one.name))
        if one.kind not in (Kind.CRASH, Kind.THROTTLE):
            first = self._declared.setdefault(one.name, one)
            if first.kind is not one.kind:
                kinds = f"{_name(first.kind)} in one worker and a {_name(one.kind)} in another"
                self._notes.append(f"metric {one.name} is a {kinds}; both are reported")
            elif first.merge is not one.merge:
                rules = f"{_name(first.merge)} in one worker and by {_name(one.merge)} in another"
                note = f"gauge {one.name} is merged by {rules}; {_name(first.merge)} is used"
                self._notes.append(note)

    def _waiting(self) -> dict[str, int]:
        waiting: dict[str, int] = {}
        for worker in self._workers:
            for name, count in worker.reader.waiting():
                waiting[name] = waiting.get(name, 0) + count
        return waiting

    def _gauges(self) -> dict[str, GaugeSum]:
        gauges: dict[str, GaugeSum] = {}
        for worker in self._workers:
            gauge_sums.add(gauges, map(self._gauge, worker.reader.gauges()))
        return gauges

    def _gauge(self, one: tuple[str, Merge, float]) -> tuple[str, GaugeSum]:
        name, rule, value = one
        first = self._declared.get(name)
        if first is not None and first.kind is Kind.GAUGE:
            rule = first.merge
        return name, (int(rule), value, 1)

    def _worker_point(self, number: int) -> WorkerPoint:
        """Return the health of a worker since the previous sample; times as fractions of that."""
        worker, row = self._workers[number - self._board.first], self._board.row(number)
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
            # An event loop that hangs records nothing, and must not look idle because of that.
            all_lag_s = max(all_lag_s, silent_ns / S_NS)
            found["lag_p99_s"] = max(found["lag_p99_s"], silent_ns / S_NS)
            found["cpu"] = max(found["cpu"], row[Cell.CPU_BEFORE_NS] + used_ns)
            beat_ns = at_ns
        readings = list(found.values())
        before = worker.readings or readings
        figures = health_figures.between(before, readings, beat_ns - worker.noted_ns)
        worker.readings, worker.noted_ns = readings, beat_ns
        told = (
            number,
            row[Cell.INCARNATION],
            *figures,
            row[Cell.USERS_PEAK],
            round(found["cpu"] / S_NS, 6),
            row[Cell.MAX_RSS_BYTES],
            round(all_lag_s, 6),
        )
        return WorkerPoint("", *told)


def _name(one: Kind | Merge) -> str:
    return one.name.lower()


def _p99_s(timer: Histogram) -> float:
    (p99_s,) = timer.quantiles_s(0.99)
    return p99_s


def record_silence(board: Board, worker: int, cpu_ns: int) -> None:
    """Record for a dead worker how long it had recorded nothing itself.

    An event loop that hung until the end must not look as if it had been on time.
    """
    row = board.row(worker)
    silent_ns = now_ns() - row[Cell.HEARTBEAT_NS]
    if row[Cell.HEARTBEAT_NS] and silent_ns > SILENT_NS:
        lag = board.area(worker).declare(Kind.TIMER, "loop_lag")
        timer_cells.record(lag, silent_ns)
        row[_CPU_NS] = max(row[_CPU_NS], row[Cell.CPU_BEFORE_NS] + cpu_ns)
