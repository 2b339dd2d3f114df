"""What has changed on a worker's area of the board since it was last looked at. Pure.

Most metrics do not change in most seconds, and of a timer's 4,608 cells few do. Its worker notes
which rows of cells were ever hit; only these are looked at, for all timers together
(`amoc.metrics.vectors`), some at a time: between two parts the process that looks can do other
things.
"""

from __future__ import annotations

from array import array
from collections.abc import Callable, Collection, Iterator
from typing import NamedTuple

from amoc.metrics import vectors
from amoc.metrics.board import Area, Entry, Kind, Merge
from amoc.metrics.histogram import CELLS, ROWS
from amoc.metrics.throttle_counts import COUNTS, ThrottleCounts
from amoc.metrics.timer_cells import HIT, ROW_OF_CELLS
from amoc.metrics.vectors import Counts, Keys

ROWS_AT_ONCE = 512
"""Rows of cells, a kilobyte each, that are looked at without a break."""
METRICS_AT_ONCE = 256
"""The same, of metrics."""
_NO_ROWS = bytes(ROWS * 8)
_EMPTY_ROW = bytes(ROW_OF_CELLS)


class Change(NamedTuple):
    """By how much a counter or throttle has grown."""

    kind: Kind
    name: str
    by: int | ThrottleCounts


class TimerChange(NamedTuple):
    """By how much some cells of timers have grown."""

    keys: Keys
    by: Counts
    watched: bool = False
    """Whether the timers are those that are watched worker by worker."""


class _Timer(NamedTuple):
    """A timer that was met."""

    number: int
    first_row: int
    """Of its cells, in the area."""
    hit: memoryview[int]
    """Which of its rows were."""
    maximum: memoryview[int]
    watched: bool


class _Rows:
    """Rows of cells that were hit."""

    def __init__(self) -> None:
        self.places = array("I")  # in the area
        self.rows = array("I")  # of all timers: a timer's number times `ROWS`, plus the row
        self.before = bytearray()  # what they held, one behind the other

    def add(self, place: int, row: int) -> None:
        self.places.append(place)
        self.rows.append(row)
        self.before += _EMPTY_ROW


_NOTHING = TimerChange(array("I"), array("Q"))


class AreaReader:
    """Reads one area repeatedly."""

    def __init__(
        self, area: Area, number: Callable[[str], int], watched: Collection[str] = ()
    ) -> None:
        """Read `area`; all that is on it already is new at the first time.

        Args:
            area: A worker's.
            number: Says which number a timer has, by its name: keys are made of it.
            watched: Timers whose changes are told apart from those of others.
        """
        self._area = area
        self._number = number
        self._watched = watched
        self._met = 0
        self._gauges: list[Entry] = []
        self._counters: list[Entry] = []
        self._throttles: list[Entry] = []
        self._timers: list[_Timer] = []
        self._counted: list[int] = []
        self._passed: list[ThrottleCounts] = []
        self._hit: list[bytes] = []
        self._longest: list[int] = []
        self._rows, self._watched_rows = _Rows(), _Rows()

    def meet(self) -> list[Entry]:
        """Know the metrics that are new; those, in the order in which they were declared."""
        new = self._area.entries()[self._met :]
        self._met += len(new)
        for one in new:
            if one.kind is Kind.TIMER:
                self._timers.append(
                    _Timer(
                        self._number(one.name),
                        one.start // ROW_OF_CELLS,
                        one.cells[HIT:],
                        one.cells[CELLS:HIT],
                        one.name in self._watched,
                    )
                )
                self._hit.append(_NO_ROWS)
                self._longest.append(0)
            elif one.kind is Kind.GAUGE:
                self._gauges.append(one)
            elif one.kind is Kind.THROTTLE:
                self._throttles.append(one)
            else:
                self._counters.append(one)
        return new

    def gauges(self) -> Iterator[tuple[str, Merge, float]]:
        """The gauges that were met and set."""
        for _, merge, name, cells, _ in self._gauges:
            if (value := cells[0]) == value:
                yield name, merge, value

    def waiting(self) -> Iterator[tuple[str, int]]:
        """The throttles at which users wait, and how many."""
        for _, _, name, cells, _ in self._throttles:
            if count := cells[len(COUNTS)]:
                yield name, count

    def changes(self) -> Iterator[list[Change]]:
        """Counters and throttles that have grown, and what is new, at most so many at a time."""
        counted, passed = self._counted, self._passed
        for begin in range(0, len(self._counters), METRICS_AT_ONCE):
            found = []
            part = self._counters[begin : begin + METRICS_AT_ONCE]
            for place, (kind, _, name, cells, _) in enumerate(part, begin):
                count = cells[0]
                if place == len(counted):
                    counted.append(count)
                    found.append(Change(kind, name, count))
                elif more := count - counted[place]:
                    counted[place] = count
                    found.append(Change(kind, name, more))
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
        """What timers have recorded, at most `ROWS_AT_ONCE` rows at a time."""
        for begin in range(0, len(self._timers), METRICS_AT_ONCE):
            for place, timer in enumerate(self._timers[begin : begin + METRICS_AT_ONCE], begin):
                hit = bytes(timer.hit)
                if hit != self._hit[place]:
                    self._note_rows(timer, self._hit[place], hit)
                    self._hit[place] = hit
            yield _NOTHING
        for some, watched in ((self._watched_rows, True), (self._rows, False)):
            for begin in range(0, len(some.rows), ROWS_AT_ONCE):
                end = min(begin + ROWS_AT_ONCE, len(some.rows))
                keys, by = vectors.changed(
                    self._area.memory, some.places, some.rows, some.before, begin, end
                )
                yield TimerChange(keys, by, watched)

    def _note_rows(self, timer: _Timer, before: bytes, hit: bytes) -> None:
        into = self._watched_rows if timer.watched else self._rows
        for row in range(ROWS):
            if hit[row * 8] and not before[row * 8]:
                into.add(timer.first_row + row, timer.number * ROWS + row)

    def records(self) -> Iterator[tuple[int, int]]:
        """Timers by number, and their longest duration, where that is longer than before.

        To be asked after `timer_changes`: a worker notes a maximum before the cell that it is in,
        so none is then below a cell that was seen.
        """
        longest = self._longest
        for place, timer in enumerate(self._timers):
            if (max_ns := timer.maximum[0]) != longest[place]:
                longest[place] = max_ns
                yield timer.number, max_ns
