"""Records for whole minutes, so that a long run can be read without reading each second. Pure.

A block is a `Stretch` of the seconds of a minute, with the sums of its timers and the numbers of
those seconds. Blocks are made only from seconds in which the run was running, without gaps between
them and without late nodes; otherwise each second matters.
"""

from __future__ import annotations

import struct
from collections import deque
from collections.abc import Iterator, Sequence

from amoc.metrics.timer_sums import TimerSums
from amoc.results.series import Point
from amoc.results.store.packed import GROUP, pack
from amoc.results.stretch import Stretch, StretchMaker

BLOCK_S = 60.0
AT_ONCE = 10
"""Seconds that are added up together: in an idle process, each alone would find cold caches."""
MAX_GAP_S = 0.01
"""Times are rounded."""
_SPAN = struct.Struct("<III")
"""The head of a record: numbers of the first and last second's records, number of seconds."""


def block_of(point: Point) -> int:
    """Return the number of the minute that contains most of a second."""
    return int((point.t_s - point.span_s / 2) // BLOCK_S)


class BlockMaker:
    """Sums the seconds of a minute."""

    def __init__(self) -> None:
        self._first = self._last = 0
        self._until_s = -1.0
        self._whole = True
        self._points = deque[Point]()  # not added up yet
        self._maker = StretchMaker()
        self._sums = TimerSums()

    @property
    def worthwhile(self) -> bool:
        """Whether a block should be made, once everything is added up."""
        return self._whole and self._maker.seconds > 1 and self._maker.is_finite

    def add(self, point: Point, number: int) -> None:
        """Add the next second, stored as record `number`; 0 if it could not be written."""
        follows = not self._first or abs(point.begin_s - self._until_s) <= MAX_GAP_S
        runs = point.state == "running" and abs(point.active_s - point.span_s) <= MAX_GAP_S
        self._whole = self._whole and follows and runs and number > 0 and not point.late
        if self._whole:
            self._first, self._last = self._first or number, number
            self._until_s = point.t_s
            self._points.append(point)

    def add_up(self, at_least: int = 1) -> Iterator[None]:
        """Add up the seconds that wait for it, if there are so many, with a break after each."""
        if len(self._points) >= at_least:
            while self._points:
                point = self._points.popleft()
                self._maker.add(point)
                self._sums.add(point.timers)
                yield

    def stretch(self) -> Stretch:
        """Return the stretch of the seconds added, without timers."""
        return self._maker.made()

    @property
    def span(self) -> bytes:
        """The head of the record."""
        return _SPAN.pack(self._first, self._last, self._maker.seconds)

    def groups(self) -> Iterator[tuple[Sequence[str], bytes]]:
        """Yield the names of timers and the packed timers, group by group."""
        for begin in range(0, len(self._sums), GROUP):
            block = self._sums.packed(begin, begin + GROUP)
            yield block.names, b"".join(pack(block))


def span_of(record: bytes) -> tuple[int, int, int]:
    """Return the numbers of the first and last second's records, and the number of seconds.

    Raises:
        ValueError: The body is not that of a block.
    """
    try:
        first, last, seconds = _SPAN.unpack_from(record)
    except struct.error as error:
        raise ValueError(f"not a block: {error}") from None
    return first, last, seconds


def inner(record: bytes) -> bytes:
    """Return the part of a block that has the format of a second's body."""
    return record[_SPAN.size :]
