"""A worker's area of the board: a directory of metrics that only grows, and their cells.

When several metrics always count the same events, such as those of a step and of all steps, a
worker writes them once: a joint metric, whose name consists of all their names, is added to each of
them when it is read.
"""

from __future__ import annotations

import mmap
from collections.abc import Iterable
from enum import IntEnum
from struct import Struct
from typing import Any, NamedTuple, TypeAlias

from amoc.base.errors import ScenarioError
from amoc.base.lazy_bytes import MAP_NORESERVE
from amoc.metrics import reserved, timer_cells
from amoc.metrics.histogram import Histogram
from amoc.metrics.throttle_counts import COUNTS, MAX_THROTTLES, ThrottleCounts
from amoc.metrics.timer_cells import ROW_OF_CELLS, TIMER_CELLS

AREA_BYTES = 363 << 20
"""Address space, with room for as many timers as the directory has entries."""
ENTRIES = 8192
JOINT_ENTRIES = 1024
"""In addition, for joint metrics; when these are full, each metric counts separately."""
OWN_JOINT_ENTRIES = 16
"""In addition, for amoc's own joint metrics."""
THROTTLE_ENTRIES = MAX_THROTTLES + 1
"""In addition, for throttles, ``user_rate`` among them."""
MAX_CAUSES = 200
"""Different causes of crashes that a worker counts separately."""
OWN_ENTRIES = MAX_CAUSES + 1 + len(reserved.NAMES)
"""Directory entries for the causes of crashes, the sum of all others, and amoc's own metrics."""
ENTRY_BYTES = 1024
"""Room for a name of 200 characters of up to 4 bytes, which throttles may have."""
_ENTRY = Struct(
    "<BBHIQ"
)  # kind, merge rule, bytes of the name, unused, offset of the cells in the area
MAX_COUNT = 2**64 - 1
"""The maximum of a cell, and of an integer in msgpack."""
NAME_BYTES = ENTRY_BYTES - _ENTRY.size
_DIRECTORY = 64  # the area starts with its count of entries, alone in a cache line
_ALL_ENTRIES = ENTRIES + JOINT_ENTRIES + OWN_JOINT_ENTRIES + THROTTLE_ENTRIES
_CELLS_START = _DIRECTORY + _ALL_ENTRIES * ENTRY_BYTES
_BETWEEN = "\0"
"""Separates the names in that of a joint metric; no counter's or timer's name contains it."""


class Kind(IntEnum):
    """What a directory entry describes."""

    COUNTER = 1
    GAUGE = 2
    TIMER = 3
    CRASH = 4
    """A counter whose name is the cause of a crash: any text."""
    THROTTLE = 5
    """The counts of a throttle (`ThrottleCounts`), followed by the number of waiting users."""


class Merge(IntEnum):
    """How the gauges of several workers are merged."""

    SUM = 0
    MAX = 1
    MIN = 2
    MEAN = 3


_BYTES = {Kind.TIMER: TIMER_CELLS * 8, Kind.THROTTLE: (len(COUNTS) + 1) * 8}
"""Size of the cells of metrics that have more than one."""
_OWN_NAMES = (Kind.CRASH, Kind.THROTTLE)
"""Kinds whose names may coincide with those of other metrics."""


Cells: TypeAlias = "memoryview[Any]"  # Any: int, but float for a gauge
"""A metric's cells: unsigned 64-bit numbers, or one double for a gauge."""


class Metric(NamedTuple):
    """A metric of one worker, as read from the board."""

    kind: Kind
    name: str
    merge: Merge
    value: int | float | Histogram | ThrottleCounts


class Entry(NamedTuple):
    """The directory's entry for a metric, with its cells."""

    kind: Kind
    merge: Merge
    name: str
    cells: Cells
    start: int
    """The offset of the cells in the area."""

    @property
    def joint(self) -> list[str]:
        """The metrics in which it counts if it is a joint one; otherwise empty."""
        return joint_parts(self.kind, self.name)


def joint_parts(kind: Kind, name: str) -> list[str]:
    """Return the metrics in which a joint one of this name counts; empty if it is not joint."""
    return name.split(_BETWEEN) if kind not in _OWN_NAMES and _BETWEEN in name else []


def joint_name(names: Iterable[str]) -> str:
    """Return the name of the metric that counts in each of these."""
    return _BETWEEN.join(names)


class Area:
    """One worker's metrics: a directory that only grows, followed by the cells.

    The worker declares and writes; every process may read. The replacement of a dead worker finds
    its predecessor's metrics by name and continues counting.
    """

    def __init__(self, memory: memoryview) -> None:
        self._memory = memory
        self._count = memory[:8].cast("Q")
        self._entries: list[Entry] = []
        self._index: dict[tuple[Kind | None, str], int] = {}
        self._joint: dict[str, list[Cells]] = {}  # joint cells that count in a metric
        self._joints = self._throttles = 0
        self._free = _CELLS_START

    @classmethod
    def private(cls) -> Area:
        """Return an area private to this process, for code that records outside a run."""
        flags = mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS | MAP_NORESERVE
        return cls(memoryview(mmap.mmap(-1, AREA_BYTES, flags=flags)))

    def declare(self, kind: Kind, name: str, merge: Merge = Merge.SUM) -> Cells:
        """Return the cells of metric `name`, creating them if they do not exist yet.

        Returns:
            A view of unsigned 64-bit cells (one; for a timer those of `amoc.metrics.timer_cells`;
            for a throttle its counts and then the waiting users), or of one double for a gauge.

        Raises:
            ScenarioError: The name is used by another kind or too long, or there is no room.
        """
        self._read_directory()
        known = self._index.get(_key(kind, name))
        if known is not None:
            found_kind, found_merge, _, cells, _ = self._entries[known]
            if found_kind is not kind:
                raise ScenarioError(
                    f"metric {name!r} is a {found_kind.name.lower()},"
                    f" so it cannot be a {kind.name.lower()}"
                )
            if found_merge is not merge:
                raise ScenarioError(
                    f"gauge {name!r} merges by {found_merge.name.lower()},"
                    f" so it cannot merge by {merge.name.lower()}"
                )
            return cells
        return self._append(kind, name, merge)

    def _append(self, kind: Kind, name: str, merge: Merge) -> Cells:
        encoded = name.encode()
        size = _BYTES.get(kind, 8)
        number = len(self._entries)
        if len(encoded) > NAME_BYTES:
            raise ScenarioError(
                f"a metric's name must have at most {NAME_BYTES} bytes, got {len(encoded)}:"
                f" {name!r}"
            )
        # Crashes and amoc's own counters must always count, however many metrics a scenario has.
        reserve = 0 if kind is Kind.CRASH or name in reserved.NAMES else OWN_ENTRIES
        if kind is Kind.TIMER:
            self._free += -self._free % ROW_OF_CELLS
        full = number - self._joints - self._throttles + reserve >= ENTRIES
        most = f"{ENTRIES - reserve} metrics"
        if kind is Kind.THROTTLE:
            full = self._throttles >= THROTTLE_ENTRIES
            most = f"{THROTTLE_ENTRIES} throttles"
        elif joint_parts(kind, name):
            full = self._joints >= JOINT_ENTRIES + OWN_JOINT_ENTRIES
        if full or self._free + size + reserve * 8 > len(self._memory):
            raise ScenarioError(
                f"no room for metric {name!r}: a worker holds {most} in"
                f" {len(self._memory) >> 20} MiB; is there a user id in the name?"
            )
        start = _DIRECTORY + number * ENTRY_BYTES
        _ENTRY.pack_into(self._memory, start, kind, merge, len(encoded), 0, self._free)
        self._memory[start + _ENTRY.size : start + _ENTRY.size + len(encoded)] = encoded
        # A predecessor killed at exactly this point may have left something behind.
        self._memory[self._free : self._free + 8] = bytes(8)
        if kind is Kind.GAUGE:
            gauge: Cells = self._memory[self._free : self._free + 8].cast("d")
            gauge[0] = float("nan")
        # The count goes last: a reader that sees it sees the whole entry.
        self._count[0] = number + 1
        self._read_directory()
        return self._entries[number].cells

    def _read_directory(self, end: int = _ALL_ENTRIES) -> None:
        for number in range(len(self._entries), min(self._count[0], end)):
            start = _DIRECTORY + number * ENTRY_BYTES
            code, merge, length, _, offset = _ENTRY.unpack_from(self._memory, start)
            kind = Kind(code)
            name = bytes(self._memory[start + _ENTRY.size : start + _ENTRY.size + length]).decode()
            size = _BYTES.get(kind, 8)
            cells: Cells = self._memory[offset : offset + size]
            cells = cells.cast("d" if kind is Kind.GAUGE else "Q")
            self._index[_key(kind, name)] = number
            entry = Entry(kind, Merge(merge), name, cells, offset)
            self._entries.append(entry)
            self._throttles += kind is Kind.THROTTLE
            if parts := entry.joint:
                self._joints += 1
                for part in parts:
                    self._joint.setdefault(part, []).append(cells)
            self._free = offset + size

    def forget_gauges(self) -> None:
        """Unset all gauges and waiting counts: they described a worker that has died."""
        self._read_directory()
        for kind, _, _, cells, _ in self._entries:
            if kind is Kind.GAUGE:
                cells[0] = float("nan")
            elif kind is Kind.THROTTLE:
                cells[len(COUNTS)] = 0

    def throttle(self, name: str) -> ThrottleCounts:
        """Return the counts of a throttle."""
        for kind, _, one, cells, _ in self.entries():
            if kind is Kind.THROTTLE and one == name:
                return ThrottleCounts(*cells[: len(COUNTS)])
        return ThrottleCounts()

    def has(self, kind: Kind, name: str) -> bool:
        """Return whether there is such a metric."""
        self._read_directory()
        return _key(kind, name) in self._index

    @property
    def memory(self) -> memoryview[int]:
        """The whole area, as bytes."""
        return self._memory

    @property
    def free(self) -> int:
        """The number of further metrics of a scenario that the directory has room for."""
        self._read_directory()
        return ENTRIES - OWN_ENTRIES - len(self._entries) + self._joints + self._throttles

    @property
    def free_for_throttles(self) -> int:
        """The number of further throttles that the directory has room for."""
        self._read_directory()
        return THROTTLE_ENTRIES - self._throttles

    @property
    def has_room_for_joint(self) -> bool:
        """Whether a scenario can declare another joint metric."""
        self._read_directory()
        return self._joints < JOINT_ENTRIES

    def entries(self, end: int = _ALL_ENTRIES) -> list[Entry]:
        """Return all metrics in the order of their declaration: kind, rule, name and cells.

        Args:
            end: Read no metric from there on that is not known yet.
        """
        self._read_directory(end)
        return self._entries

    def count(self, name: str) -> int:
        """Return the value of counter `name`, including its joint metrics."""
        self._read_directory()
        own = self._entries[self._index[_key(Kind.COUNTER, name)]].cells
        count: int = own[0] + sum(cells[0] for cells in self._joint.get(name, ()))
        return min(count, MAX_COUNT)

    def read(self) -> list[Metric]:
        """Return all metrics with their current values; gauges that were never set are left out."""
        metrics = []
        for entry in self.entries():
            kind, merge, name, cells, _ = entry
            value: int | float | Histogram | ThrottleCounts
            if entry.joint:
                continue
            if kind is Kind.TIMER:
                value = timer_cells.read(cells)
                for one in self._joint.get(name, ()):
                    more = timer_cells.read(one)
                    value.add(more.cells, more.max_ns)
            elif kind is Kind.COUNTER:
                value = self.count(name)
            elif kind is Kind.THROTTLE:
                value = ThrottleCounts(*cells[: len(COUNTS)])
            else:
                value = cells[0]
                if value != value:
                    continue
            metrics.append(Metric(kind, name, merge, value))
        return metrics


def _key(kind: Kind, name: str) -> tuple[Kind | None, str]:
    return (kind if kind in _OWN_NAMES else None), name
