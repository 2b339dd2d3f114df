"""Sums of many timers: everything that each has recorded so far. Pure.

Only rows of cells that were hit take memory: a kilobyte each; a timer typically has five of 36.
Adding is one pass over the cells that have grown, whichever timers they belong to
(`amoc.metrics.vectors`).
"""

from __future__ import annotations

from array import array
from bisect import bisect_left
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from typing import NamedTuple

from amoc.metrics import vectors
from amoc.metrics.histogram import CELLS, ROW, ROWS, Histogram, end_ns
from amoc.metrics.timer_block import TimerBlock
from amoc.metrics.vectors import Counts, Keys

_EMPTY_ROW = bytes(ROW * 8)
_NO_ROWS = array("i", [-1] * ROWS)


class Grown(NamedTuple):
    """The growth of timers, by their numbers in the sums that were raised."""

    keys: Keys
    counts: Counts
    longest_ns: dict[int, int]
    """The maximum of each; exact if it is the maximum so far, otherwise the end of its cell."""


class TimerSums(Mapping[str, Histogram]):
    """Histograms by name, to which others are added.

    Attributes:
        names: The timers' names; a timer's number is its index here.
        max_ns: The maximum of each.
        hits: How many durations of each were added by `add`.
    """

    def __init__(self) -> None:
        self.names: list[str] = []
        self.max_ns = array("Q")
        self.hits = array("Q")
        self._numbers: dict[str, int] = {}
        self._records: dict[int, int] = {}  # maxima that `raise_to` has not reported yet
        self._rows = array("i")  # for each row of each timer, its index among those hit, or -1
        self._cells = array("Q")  # of the rows that were hit

    @property
    def rows(self) -> int:
        """The number of rows of cells in memory, a kilobyte each."""
        return len(self._cells) // ROW

    def number(self, name: str) -> int:
        """Return the number of a timer, which is added if it is new."""
        number = self._numbers.get(name)
        if number is None:
            number = self._numbers[name] = len(self.names)
            self.names.append(name)
            self.max_ns.append(0)
            self.hits.append(0)
            self._rows.extend(_NO_ROWS)
        return number

    def add(
        self, timers: Mapping[str, Histogram], yield_if_due: Callable[[], None] = lambda: None
    ) -> None:
        """Add what other timers have recorded; `yield_if_due` is called between parts."""
        for part in TimerBlock.of(timers).parts(vectors.at_once()):
            self._add(part)
            yield_if_due()

    def _add(self, packed: TimerBlock) -> None:
        numbers = array("I", map(self.number, packed.names))
        hits = vectors.sums(packed.counts, packed.ends)
        for number, max_ns, more in zip(numbers, packed.max_ns, hits, strict=True):
            self.hits[number] += more
            if max_ns > self.max_ns[number]:
                self.max_ns[number] = max_ns
        self.add_at(vectors.keys_of(numbers, packed.ends, packed.cells), packed.counts)

    def add_at(self, keys: Keys, counts: Counts | memoryview[int]) -> None:
        """Add `counts` to the cells of `keys`, which must be distinct."""
        self._make_room(keys)
        vectors.add_at(self._cells, self._rows, keys, counts)

    def _make_room(self, keys: Keys) -> None:
        for row in vectors.new_rows(self._rows, keys):
            self._rows[row] = self.rows
            self._cells.frombytes(_EMPTY_ROW)

    def raise_to(
        self, totals: TimerBlock, yield_if_due: Callable[[], None] = lambda: None
    ) -> Grown:
        """Raise timers to the totals of others, where these are greater; return the growth.

        Args:
            totals: The totals.
            yield_if_due: Called between parts of the work.
        """
        grown = Grown(array("I"), array("Q"), {})
        for part in totals.parts(vectors.at_once()):
            self._raise_to(part, grown)
            yield_if_due()
        return grown

    def _raise_to(self, totals: TimerBlock, grown: Grown) -> None:
        numbers = array("I", map(self.number, totals.names))
        keys = vectors.keys_of(numbers, totals.ends, totals.cells)
        self._make_room(keys)
        more, by = vectors.raise_at(self._cells, self._rows, keys, totals.counts)
        for number, max_ns in zip(numbers, totals.max_ns, strict=True):
            if max_ns > self.max_ns[number]:
                self._records[number] = self.max_ns[number] = max_ns
        for number, key in vectors.highest_of(more).items():
            # A maximum is known a moment before its cell.
            record = self._records.pop(number, 0)
            grown.longest_ns[number] = record or min(end_ns(key % CELLS), self.max_ns[number])
        grown.keys.extend(more)
        grown.counts.extend(by)

    def totals_at(
        self, keys: Keys, more: Iterable[int] = (), yield_if_due: Callable[[], None] = lambda: None
    ) -> TimerBlock:
        """Return the totals in the cells of `keys`, which must be sorted.

        Args:
            keys: The cells to include.
            more: Numbers of timers to include even without any of these cells.
            yield_if_due: Called between parts of the work.
        """
        blocks, begin = [], 0
        while begin < len(keys):
            last = keys[min(begin + vectors.at_once(), len(keys)) - 1]
            end = bisect_left(keys, (last // CELLS + 1) * CELLS, begin)  # the end of its timer
            part = keys[begin:end]
            counts = vectors.at(self._cells, self._rows, part)
            blocks.append(packed(self.names, part, counts, (), self.max_ns))
            yield_if_due()
            begin = end
        told = {self._numbers[name] for one in blocks for name in one.names}
        rest = set(more) - told
        blocks.append(packed(self.names, array("I"), array("Q"), rest, self.max_ns))
        return TimerBlock.joined(blocks)

    def __getitem__(self, name: str) -> Histogram:
        number = self._numbers[name]
        cells: dict[int, int] = {}
        for row in range(ROWS):
            place = self._rows[number * ROWS + row]
            if place >= 0:
                counts = self._cells[place * ROW : (place + 1) * ROW]
                cells |= {cell: count for cell, count in enumerate(counts, row * ROW) if count}
        return Histogram(cells, self.max_ns[number])

    def __iter__(self) -> Iterator[str]:
        return iter(self.names)

    def __len__(self) -> int:
        return len(self.names)

    def packed(self, begin: int = 0, end: int | None = None) -> TimerBlock:
        """Pack all timers, or those with numbers from `begin` to below `end`."""
        numbers = range(len(self.names))[begin:end]
        rows = self._rows[numbers.start * ROWS : numbers.stop * ROWS]
        keys, counts = vectors.hit(self._cells, rows)
        return packed(self.names, keys, counts, numbers, self.max_ns, begin)


def packed(
    names: Sequence[str],
    keys: Keys,
    counts: Counts,
    more: Iterable[int],
    longest_ns: Sequence[int] | Mapping[int, int],
    first: int = 0,
) -> TimerBlock:
    """Pack cells as timers, and further timers without cells.

    Args:
        names: The timers' names.
        keys: Ascending and contiguous for each timer; relative to timer `first`.
        counts: The number of hits of each cell.
        more: Numbers of the further timers.
        longest_ns: The maximum of each timer that has cells, by its number.
        first: The number of the first timer.
    """
    numbers, ends, cells = vectors.grouped(keys)
    numbers = [first + one for one in numbers]
    max_ns = array("Q", [longest_ns[number] for number in numbers])
    for number in sorted(set(more).difference(numbers)):
        numbers.append(number)
        ends.append(len(cells))
        max_ns.append(0)
    return TimerBlock([names[one] for one in numbers], max_ns, ends, cells, counts)
