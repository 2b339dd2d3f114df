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
from amoc.metrics.area import Area, Entry, Kind, Merge
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


class _Timer(NamedTuple):
    """A timer that was met."""

    number: int
    """Among those whose `rows` these are."""
    first_row: int
    """Of its cells, in the area."""
    hit: memoryview[int]
    """Which of its rows were."""
    maximum: memoryview[int]
    rows: _Rows
    counts_in: list[int]
    """The numbers of the timers that it is, or counts in."""


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
        self._rows, self._watched_rows, self._joint_rows = _Rows(), _Rows(), _Rows()
        # Of joint timers, which count in two others each, the numbers of these.
        self._counts_in: tuple[Keys, Keys] = array("I"), array("I")

    def meet(self) -> list[Entry]:
        """Know the metrics that are new; those, in the order in which they were declared.

        What joint ones count is told as that of the metrics that they count in.
        """
        new = self._area.entries()[self._met :]
        self._met += len(new)
        for one in new:
            if one.kind is Kind.TIMER:
                self._meet_timer(one)
            elif one.kind is Kind.GAUGE:
                self._gauges.append(one)
            elif one.kind is Kind.THROTTLE:
                self._throttles.append(one)
            else:
                self._counters.append(one)
        return [one for one in new if not one.joint]

    def _meet_timer(self, one: Entry) -> None:
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
            for place, one in enumerate(part, begin):
                count = one.cells[0]
                if place == len(counted):
                    counted.append(0)
                    more = count  # it is told though it be 0, for it is new
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
        """What timers have recorded, at most `ROWS_AT_ONCE` rows at a time."""
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
        for begin in range(0, len(some.rows), ROWS_AT_ONCE):
            end = min(begin + ROWS_AT_ONCE, len(some.rows))
            memory = self._area.memory
            yield vectors.changed(memory, some.places, some.rows, some.before, begin, end)

    def _note_rows(self, timer: _Timer, before: bytes, hit: bytes) -> None:
        for row in range(ROWS):
            if hit[row * 8] and not before[row * 8]:
                timer.rows.add(timer.first_row + row, timer.number * ROWS + row)

    def records(self) -> Iterator[tuple[int, int]]:
        """Timers by number, and their longest duration, where that is longer than before.

        To be asked after `timer_changes`: a worker notes a maximum before the cell that it is in,
        so none is then below a cell that was seen.
        """
        longest = self._longest
        for place, timer in enumerate(self._timers):
            if (max_ns := timer.maximum[0]) != longest[place]:
                longest[place] = max_ns
                for number in timer.counts_in:
                    yield number, max_ns
