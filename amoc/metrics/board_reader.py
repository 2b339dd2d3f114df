"""Reads what has changed on a worker's area of the board since the last time. Pure.

Most metrics do not change in most seconds, and few of a timer's 4,608 cells do. The worker marks
the rows of cells that were ever hit. Only these are compared, for all timers together
(`amoc.metrics.vectors`), and in parts, between which the reading process can do other work.
"""

from __future__ import annotations

from array import array
from collections.abc import Callable, Collection, Iterator
from typing import NamedTuple

from amoc.metrics import vectors
from amoc.metrics.area import Area, Entry, Kind, Merge
from amoc.metrics.histogram import CELLS, ROWS
from amoc.metrics.throttle_counts import COUNTS, ThrottleCounts
from amoc.metrics.timer_cells import HIT, ROW_OF_CELLS
from amoc.metrics.vectors import Counts, Keys

METRICS_AT_ONCE = 256
"""Metrics that are read without a break."""
_NO_ROWS = bytes(ROWS * 8)
_EMPTY_ROW = bytes(ROW_OF_CELLS)


class Change(NamedTuple):
    """The growth of a counter or throttle."""

    kind: Kind
    name: str
    by: int | ThrottleCounts


class TimerChange(NamedTuple):
    """The growth of some cells of timers."""

    keys: Keys
    by: Counts
    watched: bool = False
    """Whether the timers are among those whose changes are kept per worker."""


class _Rows:
    """Rows of cells that were hit."""

    def __init__(self) -> None:
        self.places = array("I")  # in the area
        self.rows = array("I")  # of all timers: a timer's number times `ROWS`, plus the row
        self.before = bytearray()  # their previous contents, one after the other

    def add(self, place: int, row: int) -> None:
        self.places.append(place)
        self.rows.append(row)
        self.before += _EMPTY_ROW


class _Timer(NamedTuple):
    """A known timer."""

    number: int
    """Its number among the timers in `rows`."""
    first_row: int
    """The number of its first row of cells in the area."""
    hit: memoryview[int]
    """Which of its rows were hit."""
    maximum: memoryview[int]
    rows: _Rows
    counts_in: list[int]
    """The numbers of the timers in which it counts: itself, or the parts of a joint one."""


_NOTHING = TimerChange(array("I"), array("Q"))


class AreaReader:
    """Reads one area repeatedly."""

    def __init__(
        self, area: Area, number: Callable[[str], int], watched: Collection[str] = ()
    ) -> None:
        """Read `area`; at first, everything already on it is new.

        Args:
            area: A worker's area.
            number: Returns a timer's number by its name; keys are made from it.
            watched: Timers whose changes are kept apart from those of others.
        """
        self._area = area
        self._number = number
        self._watched = watched
        self._known = 0
        self._gauges: list[Entry] = []
        self._counters: list[Entry] = []
        self._throttles: list[Entry] = []
        self._timers: list[_Timer] = []
        self._counted: list[int] = []
        self._passed: list[ThrottleCounts] = []
        self._hit: list[bytes] = []
        self._longest: list[int] = []
        self._rows, self._watched_rows, self._joint_rows = _Rows(), _Rows(), _Rows()
        # For joint timers, each of which counts in two others: the numbers of these.
        self._counts_in: tuple[Keys, Keys] = array("I"), array("I")

    def read_new(self) -> list[Entry]:
        """Add the next `METRICS_AT_ONCE` new metrics; return them in the order of declaration.

        What joint metrics count is reported for the metrics in which they count.
        """
        end = self._known + METRICS_AT_ONCE
        new = self._area.entries(end)[self._known : end]
        self._known += len(new)
        for one in new:
            if one.kind is Kind.TIMER:
                self._add_timer(one)
            elif one.kind is Kind.GAUGE:
                self._gauges.append(one)
            elif one.kind is Kind.THROTTLE:
                self._throttles.append(one)
            else:
                self._counters.append(one)
        return new

    def _add_timer(self, one: Entry) -> None:
        counts_in = [*map(self._number, one.joint or [one.name])]
        number, rows = counts_in[0], self._rows
        if one.joint:
            number, rows = len(self._counts_in[0]), self._joint_rows
            for numbers, other in zip(self._counts_in, counts_in, strict=True):
                numbers.append(other)
        elif one.name in self._watched:
            rows = self._watched_rows
        begin, hit, maximum = one.start // ROW_OF_CELLS, one.cells[HIT:], one.cells[CELLS:HIT]
        self._timers.append(_Timer(number, begin, hit, maximum, rows, counts_in))
        self._hit.append(_NO_ROWS)
        self._longest.append(0)

    def gauges(self) -> Iterator[tuple[str, Merge, float]]:
        """Yield the known gauges that have been set."""
        for _, merge, name, cells, _ in self._gauges:
            if (value := cells[0]) == value:
                yield name, merge, value

    def waiting(self) -> Iterator[tuple[str, int]]:
        """Yield the throttles at which users wait, and how many do."""
        for _, _, name, cells, _ in self._throttles:
            if count := cells[len(COUNTS)]:
                yield name, count

    def changes(self) -> Iterator[list[Change]]:
        """Yield counters and throttles that have grown or are new, in parts of limited size."""
        counted, passed = self._counted, self._passed
        for begin in range(0, len(self._counters), METRICS_AT_ONCE):
            found = []
            part = self._counters[begin : begin + METRICS_AT_ONCE]
            for place, one in enumerate(part, begin):
                count = one.cells[0]
                if place == len(counted):
                    counted.append(0)
                    more = count  # reported even if 0, because it is new
                elif not (more := count - counted[place]):
                    continue
                counted[place] = count
                found += [Change(one.kind, name, more) for name in one.joint or [one.name]]
            yield found
        found = []
        for place, (kind, _, name, cells, _) in enumerate(self._throttles):
            counts = ThrottleCounts(*cells[: len(COUNTS)])
            if place == len(passed):
                passed.append(counts)
                found.append(Change(kind, name, counts))
            elif counts != passed[place]:
                found.append(Change(kind, name, counts.beyond(passed[place])))
                passed[place] = counts
        yield found

    def timer_changes(self) -> Iterator[TimerChange]:
        """Yield what timers have recorded, in parts of limited size."""
        for begin in range(0, len(self._timers), METRICS_AT_ONCE):
            for place, timer in enumerate(self._timers[begin : begin + METRICS_AT_ONCE], begin):
                hit = bytes(timer.hit)
                if hit != self._hit[place]:
                    self._note_rows(timer, self._hit[place], hit)
                    self._hit[place] = hit
            yield _NOTHING
        for keys, by in self._changed(self._watched_rows):
            yield TimerChange(keys, by, True)
        for keys, by in self._changed(self._rows):
            yield TimerChange(keys, by)
        for keys, by in self._changed(self._joint_rows):
            for numbers in self._counts_in:
                yield TimerChange(*vectors.gathered([(vectors.renumbered(keys, numbers), by)]))

    def _changed(self, some: _Rows) -> Iterator[tuple[Keys, Counts]]:
        at_once = vectors.rows_at_once()
        for begin in range(0, len(some.rows), at_once):
            end = min(begin + at_once, len(some.rows))
            memory = self._area.memory
            yield vectors.changed(memory, some.places, some.rows, some.before, begin, end)

    def _note_rows(self, timer: _Timer, before: bytes, hit: bytes) -> None:
        for row in range(ROWS):
            if hit[row * 8] and not before[row * 8]:
                timer.rows.add(timer.first_row + row, timer.number * ROWS + row)

    def records(self) -> Iterator[tuple[int, int]]:
        """Yield the numbers of timers whose longest duration has grown, and that duration.

        Call this after `timer_changes`: a worker writes a maximum before the cell it belongs to,
        so no maximum is below a cell already seen.
        """
        longest = self._longest
        for place, timer in enumerate(self._timers):
            if (max_ns := timer.maximum[0]) != longest[place]:
                longest[place] = max_ns
                for number in timer.counts_in:
                    yield number, max_ns
