"""What has changed on a worker's area of the board since it was last looked at.

Most metrics do not change in most seconds, and of a timer's 4,609 cells few do. So the bytes of a
timer are kept and compared at once, then chunk by chunk; only chunks that differ are decoded. A
thousand unused timers cost a few milliseconds a second.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, NamedTuple

from amoc.metrics.board import Area, Entry, Kind, Merge
from amoc.metrics.histogram import CELLS, Histogram
from amoc.metrics.throttle_counts import COUNTS, ThrottleCounts

_CHUNK_BYTES = 1024  # the cells fill 36 of them; the maximum follows alone
_AT_FIRST: dict[Kind, Any] = {Kind.TIMER: bytes((CELLS + 1) * 8), Kind.THROTTLE: ThrottleCounts()}


class Change(NamedTuple):
    """By how much a metric has grown.

    `by` is a number; for a timer the histogram of what was recorded, whose `max_ns` is the longest
    duration ever; for a throttle what happened at it.
    """

    kind: Kind
    name: str
    by: int | Histogram | ThrottleCounts


class AreaReader:
    """Reads one area repeatedly."""

    def __init__(self, area: Area) -> None:
        """Read `area`; all that is on it already is new at the first time."""
        self._area = area
        self._before: list[
            Any
        ] = []  # by kind: a number, the bytes of a timer, the counts of a throttle

    def entries(self) -> list[Entry]:
        """The metrics, in the order in which they were declared."""
        return self._area.entries()

    def gauges(self) -> Iterator[tuple[str, Merge, float]]:
        """The gauges that were set."""
        for kind, merge, name, cells in self._area.entries():
            if kind is Kind.GAUGE and (value := cells[0]) == value:
                yield name, merge, value

    def waiting(self) -> Iterator[tuple[str, int]]:
        """The throttles at which users wait, and how many."""
        for kind, _, name, cells in self._area.entries():
            if kind is Kind.THROTTLE and (count := cells[len(COUNTS)]):
                yield name, count

    def changes(self) -> Iterator[Change]:
        """All that has grown since the last call, and what is new; iterate to the end."""
        before, entries = self._before, self._area.entries()
        for number, (kind, _, name, cells) in enumerate(entries):
            new = number == len(before)
            if new:
                before.append(_AT_FIRST.get(kind, 0))
            if kind is Kind.TIMER:
                raw = cells.tobytes()
                if new or raw != before[number]:
                    yield Change(kind, name, _grown(before[number], raw))
                    before[number] = raw
            elif kind is Kind.THROTTLE:
                counts = ThrottleCounts(*cells[: len(COUNTS)])
                if new or counts != before[number]:
                    yield Change(kind, name, counts.beyond(before[number]))
                    before[number] = counts
            elif kind is not Kind.GAUGE and ((count := cells[0]) != before[number] or new):
                yield Change(kind, name, count - before[number])
                before[number] = count


def _grown(before: bytes, now: bytes) -> Histogram:
    """What was recorded between two moments of a timer's cells."""
    grown = {}
    for start in range(0, CELLS * 8, _CHUNK_BYTES):
        old, new = before[start : start + _CHUNK_BYTES], now[start : start + _CHUNK_BYTES]
        if old != new:
            olds, news = memoryview(old).cast("Q"), memoryview(new).cast("Q")
            for offset, count in enumerate(news):
                if more := count - olds[offset]:
                    grown[start // 8 + offset] = more
    return Histogram(grown, max_ns=int.from_bytes(now[CELLS * 8 :], "little"))
