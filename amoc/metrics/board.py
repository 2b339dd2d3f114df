"""The board: shared counters, one block of memory that every process of a node maps.

    rows      one per worker: its identity and health metrics (`Cell`)
    areas     one per worker: an append-only directory of metrics (kind, merge rule, name, place)
              and the cells they point to
    users     one byte per user id (`UserState`)

Rule: a cell has exactly one writer, the worker whose row it is, so no lock is needed.
A user's byte changes hands but never has two writers at once: the node writes it before it passes
the user to a worker for the first time, and again when that worker is dead; in between only the
worker does. Users of an arrival rate are not passed to a worker, it starts them by itself.
Readers may see a row between two writes; never derive a value from two cells that must agree.

Where the same is always counted by several metrics, of a step and of all steps say, a worker writes
it once: a joint metric, whose name is all of theirs, counts in each of them when it is read.

The block is an anonymous shared mapping created before the fork. It has no name, so no other
process can open it and nothing is left behind however the processes end. It outlives each of them,
so a worker killed with ``kill -9`` loses no recorded count. Untouched pages use no memory.
"""

from __future__ import annotations

import mmap
from collections.abc import Iterable
from enum import IntEnum
from struct import Struct
from typing import Any, NamedTuple, TypeAlias

from amoc.base.errors import ResourceError, ScenarioError
from amoc.base.lazy_bytes import MAP_NORESERVE
from amoc.metrics import reserved, timer_cells
from amoc.metrics.histogram import Histogram
from amoc.metrics.throttle_counts import COUNTS, ThrottleCounts
from amoc.metrics.timer_cells import ROW_OF_CELLS, TIMER_CELLS

ROW_BYTES = 512
AREA_BYTES = 352 << 20
"""Of address space: room for as many timers as the directory has entries."""
ENTRIES = 8192
JOINT_ENTRIES = 1024
"""Beside these, for joint metrics; what finds no room there is counted by each metric itself."""
OWN_JOINT_ENTRIES = 16
"""Beside these, for joint ones of amoc's own."""
LOOK = 4_096
"""Users that are looked at together."""
MAX_CAUSES = 200
"""Causes of crashes that a worker tells apart."""
OWN_ENTRIES = MAX_CAUSES + 1 + len(reserved.NAMES)
"""Directory entries for the causes of crashes, all others together, and amoc's own metrics."""
ENTRY_BYTES = 1024
"""For a name of 200 characters, of up to 4 bytes each, such as a throttle may have."""
_ENTRY = Struct(
    "<BBHIQ"
)  # kind, merge rule, bytes of the name, unused, offset of the cells in the area
MAX_COUNT = 2**64 - 1
"""What a cell can hold, and msgpack carry."""
NAME_BYTES = ENTRY_BYTES - _ENTRY.size
_DIRECTORY = 64  # the area starts with its count of entries, alone in a cache line
_CELLS_START = _DIRECTORY + (ENTRIES + JOINT_ENTRIES + OWN_JOINT_ENTRIES) * ENTRY_BYTES
_BETWEEN = "\0"
"""The names in that of a joint metric: none of a counter or a timer has it in it."""


class Kind(IntEnum):
    """What a directory entry describes."""

    COUNTER = 1
    GAUGE = 2
    TIMER = 3
    CRASH = 4
    """A counter whose name is the cause of a crash: any text."""
    THROTTLE = 5
    """What is counted of a throttle: `ThrottleCounts`, and then the users that wait."""


class Merge(IntEnum):
    """How the gauges of several workers are merged."""

    SUM = 0
    MAX = 1
    MIN = 2
    MEAN = 3


_BYTES = {Kind.TIMER: TIMER_CELLS * 8, Kind.THROTTLE: (len(COUNTS) + 1) * 8}
"""What the cells of a metric take that has more than one."""
_OWN_NAMES = (Kind.CRASH, Kind.THROTTLE)
"""Kinds whose names may be those of other metrics, too."""


class Cell(IntEnum):
    """The first cells of a worker's row; all unsigned 64-bit.

    What follows are the health figures that a worker notes, see `amoc.metrics.health_figures.cell`.
    """

    INCARNATION = 0
    """Which life of this worker it is; 1 is the first."""
    PID = 1
    HEARTBEAT_NS = 2
    """When the worker's loop last turned, monotonic."""
    USERS_PEAK = 3
    RESTARTED = 4
    """Users started again because the worker before had died."""
    MAX_RSS_BYTES = 5
    CPU_BEFORE_NS = 6
    """CPU time of its previous incarnations."""
    ITERATION_NUMBERS = 7
    """How many numbers of iterations it has given out, see `amoc.users.run`."""
    HIGHEST_USER = 8
    """The highest id of the users that it has started by itself, for an arrival rate."""


class UserState(IntEnum):
    """What a user's byte says."""

    NONE = 0
    """Not dealt to a worker."""
    STARTING = 1
    """Dealt to a worker, not running yet."""
    RUNNING = 2
    BETWEEN = 3
    """Waiting for its next iteration."""
    FINISHED = 4
    """Done: its last iteration returned."""
    CRASHED = 5
    """Done: its last iteration raised."""
    REMOVED = 6
    """Stopped by a command, or by stages."""
    RESTARTING = 7
    """Its worker died; it will be started again."""
    LOST = 8
    """Its worker died, and it was not started again before the end."""
    STOPPING = 9
    """Runs its last iteration: it was removed by a command."""
    TIMED_OUT = 10
    """Had not finished within --stop-timeout, and was stopped forcibly."""


PRESENT = (UserState.STARTING, UserState.RUNNING, UserState.BETWEEN, UserState.RESTARTING)
"""States of users that run or are to run, and were not removed."""
RESTARTABLE = (UserState.RUNNING, UserState.BETWEEN, UserState.RESTARTING)
"""States from which a user must be started again when its worker dies."""


Cells: TypeAlias = "memoryview[Any]"
"""A metric's cells: unsigned numbers of 64 bits, of a gauge one double."""


class Metric(NamedTuple):
    """A metric of one worker, as it was found on the board."""

    kind: Kind
    name: str
    merge: Merge
    value: int | float | Histogram | ThrottleCounts


class Entry(NamedTuple):
    """What the directory has of a metric, and its cells."""

    kind: Kind
    merge: Merge
    name: str
    cells: Cells
    start: int
    """Where they begin in the area."""

    @property
    def joint(self) -> list[str]:
        """The metrics that it counts in, if it is a joint one; else none."""
        if self.kind in _OWN_NAMES or _BETWEEN not in self.name:
            return []
        return self.name.split(_BETWEEN)


def is_joint(name: str) -> bool:
    """Whether that is the name of a joint metric, unless it is a crash's or a throttle's."""
    return _BETWEEN in name


def joint_name(names: Iterable[str]) -> str:
    """What the metric is called that counts in each of these."""
    return _BETWEEN.join(names)


class Area:
    """One worker's metrics: a directory that only grows, and the cells behind it.

    The worker declares and writes; everybody may read. The replacement of a dead worker finds the
    metrics of its predecessor by name and counts on.
    """

    def __init__(self, memory: memoryview) -> None:
        self._memory = memory
        self._count = memory[:8].cast("Q")
        self._entries: list[Entry] = []
        self._index: dict[tuple[Kind | None, str], int] = {}
        self._joint: dict[str, list[Cells]] = {}  # what counts in a metric beside its own cells
        self._joints = 0
        self._free = _CELLS_START

    @classmethod
    def private(cls) -> Area:
        """An area of this process alone, for code that records outside a run."""
        flags = mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS | MAP_NORESERVE
        return cls(memoryview(mmap.mmap(-1, AREA_BYTES, flags=flags)))

    def declare(self, kind: Kind, name: str, merge: Merge = Merge.SUM) -> Cells:
        """The cells of metric `name`, made if they do not exist yet.

        Returns:
            A view of unsigned 64-bit cells (one; for a timer those of `amoc.metrics.timer_cells`;
            for a throttle its counts and then who waits), or of one double for a gauge.

        Raises:
            ScenarioError: The name is in use for another kind, too long, or one too many.
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
        number, used = len(self._entries), len(self._entries) - self._joints
        if len(encoded) > NAME_BYTES:
            raise ScenarioError(
                f"a metric's name must have at most {NAME_BYTES} bytes, got {len(encoded)}:"
                f" {name!r}"
            )
        # Crashes and amoc's own counters always count, however many metrics a scenario has.
        reserve = 0 if kind is Kind.CRASH or name in reserved.NAMES else OWN_ENTRIES
        if kind is Kind.TIMER:
            self._free += -self._free % ROW_OF_CELLS
        full = used + reserve >= ENTRIES
        if kind not in _OWN_NAMES and is_joint(name):
            full = self._joints >= JOINT_ENTRIES + OWN_JOINT_ENTRIES
        if full or self._free + size + reserve * 8 > len(self._memory):
            raise ScenarioError(
                f"no room for metric {name!r}: a worker holds {ENTRIES - reserve} metrics in"
                f" {len(self._memory) >> 20} MiB; is there a user id in the name?"
            )
        start = _DIRECTORY + number * ENTRY_BYTES
        _ENTRY.pack_into(self._memory, start, kind, merge, len(encoded), 0, self._free)
        self._memory[start + _ENTRY.size : start + _ENTRY.size + len(encoded)] = encoded
        # A predecessor that was killed right here may have left something behind.
        self._memory[self._free : self._free + 8] = bytes(8)
        if kind is Kind.GAUGE:
            gauge: Cells = self._memory[self._free : self._free + 8].cast("d")
            gauge[0] = float("nan")
        # The count goes last: a reader that sees it sees the whole entry.
        self._count[0] = number + 1
        self._read_directory()
        return self._entries[number].cells

    def _read_directory(self) -> None:
        for number in range(len(self._entries), self._count[0]):
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
            if parts := entry.joint:
                self._joints += 1
                for part in parts:
                    self._joint.setdefault(part, []).append(cells)
            self._free = offset + size

    def forget_gauges(self) -> None:
        """Unset all gauges and counts of waiting users: they described a worker that has died."""
        self._read_directory()
        for kind, _, _, cells, _ in self._entries:
            if kind is Kind.GAUGE:
                cells[0] = float("nan")
            elif kind is Kind.THROTTLE:
                cells[len(COUNTS)] = 0

    def throttle(self, name: str) -> ThrottleCounts:
        """What was counted of a throttle."""
        for kind, _, one, cells, _ in self.entries():
            if kind is Kind.THROTTLE and one == name:
                return ThrottleCounts(*cells[: len(COUNTS)])
        return ThrottleCounts()

    def has(self, kind: Kind, name: str) -> bool:
        """Whether there is such a metric."""
        self._read_directory()
        return _key(kind, name) in self._index

    @property
    def memory(self) -> memoryview[int]:
        """All of it, as bytes."""
        return self._memory

    @property
    def free(self) -> int:
        """How many more metrics of a scenario the directory has room for."""
        self._read_directory()
        return ENTRIES - OWN_ENTRIES - len(self._entries) + self._joints

    @property
    def has_room_for_joint(self) -> bool:
        """Whether another joint metric of a scenario's can be declared."""
        self._read_directory()
        return self._joints < JOINT_ENTRIES

    def entries(self) -> list[Entry]:
        """All metrics, in the order in which they were declared: kind, rule, name and cells."""
        self._read_directory()
        return self._entries

    def count(self, name: str) -> int:
        """What the counter `name` has counted, itself and by joint ones."""
        self._read_directory()
        own = self._entries[self._index[_key(Kind.COUNTER, name)]].cells
        count: int = own[0] + sum(cells[0] for cells in self._joint.get(name, ()))
        return min(count, MAX_COUNT)

    def read(self) -> list[Metric]:
        """All metrics with their values now; gauges that were never set are left out."""
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


class Board:
    """The whole block, mapped by a node and all that it forks.

    Attributes:
        workers: How many rows there are.
        first: The number of the first of its workers in the run.
        highest_id: The highest user id that has a byte.
        users: The users' bytes; the index is the id.
    """

    def __init__(self, workers: int, highest_id: int) -> None:
        """Map a new board.

        Raises:
            ResourceError: The system does not give that much shared memory.
        """
        self.workers = workers
        self.first = 0
        self.highest_id = highest_id
        size = workers * (ROW_BYTES + AREA_BYTES) + highest_id + 1
        try:
            flags = mmap.MAP_SHARED | mmap.MAP_ANONYMOUS | MAP_NORESERVE
            self._map = mmap.mmap(-1, size, flags=flags)
        except (OSError, ValueError, OverflowError) as error:
            raise ResourceError(
                f"cannot map {size >> 20} MiB of shared memory for {workers} workers and user ids"
                f" up to {highest_id}: {error}; use fewer workers, lower user ids, or raise the"
                " limit (ulimit -v)"
            ) from error
        memory = memoryview(self._map)
        self._rows = [memory[n * ROW_BYTES : (n + 1) * ROW_BYTES].cast("Q") for n in range(workers)]
        areas = workers * ROW_BYTES
        self._areas = [
            Area(memory[areas + n * AREA_BYTES : areas + (n + 1) * AREA_BYTES])
            for n in range(workers)
        ]
        self.users = memory[areas + workers * AREA_BYTES :]

    def row(self, worker: int) -> memoryview:
        """The row of `worker`: cells by `Cell`."""
        return self._rows[worker - self.first]

    def area(self, worker: int) -> Area:
        """The metrics of `worker`."""
        return self._areas[worker - self.first]

    @property
    def numbers(self) -> range:
        """The numbers of its workers in the run."""
        return range(self.first, self.first + self.workers)

    def count_users(self, ids: range) -> dict[UserState, int]:
        """How many of the users `ids` are in each state; empty states are absent."""
        states = bytes(self.users[ids.start : ids.stop : ids.step])
        # Counting each state by itself takes a tenth of the time of a collections.Counter.
        return {state: count for state in UserState if (count := states.count(state))}

    def users_in(self, states: tuple[UserState, ...], ids: range) -> list[int]:
        """Those of `ids` whose byte says one of `states`, in order."""
        wanted = frozenset(map(int, states))
        found = bytes(self.users[ids.start : ids.stop : ids.step])
        return [user_id for user_id, state in zip(ids, found, strict=True) if state in wanted]

    def highest_in(self, states: tuple[UserState, ...], ids: range, count: int) -> list[int]:
        """The `count` highest of `ids` whose byte says one of `states`, in falling order."""
        found: list[int] = []
        while ids and len(found) < count:  # a part at a time, for there may be a million
            ids, part = ids[:-LOOK], ids[-LOOK:]
            found += reversed(self.users_in(states, part))
        return found[: max(0, count)]
