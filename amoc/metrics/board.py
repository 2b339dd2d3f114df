"""The board: shared counters, one block of memory that every process of a node maps.

    rows      one per worker: its identity and health metrics (`Cell`)
    areas     one per worker: its metrics (`amoc.metrics.area`)
    users     one byte per user id (`UserState`)

Rule: a cell has exactly one writer, the worker whose row it is, so no lock is needed.
A user's byte changes its writer but never has two at once: the node writes it before it first
assigns the user to a worker, and again when that worker is dead; in between only the worker does.
Users of an arrival rate are not assigned to workers; each worker starts them itself.
Readers may see a row between two writes; never derive a value from two cells that must agree.

The block is an anonymous shared mapping created before the fork. It has no name, so no other
process can open it, and nothing is left behind however the processes end. It outlives each of them,
so a worker killed with ``kill -9`` loses no recorded count. Untouched pages use no memory.
"""

from __future__ import annotations

import mmap
from enum import IntEnum

from amoc.base.errors import ResourceError
from amoc.base.lazy_bytes import MAP_NORESERVE
from amoc.metrics.area import AREA_BYTES, Area

ROW_BYTES = 512
LOOK = 4_096
"""Users that are checked at a time."""


class Cell(IntEnum):
    """The first cells of a worker's row; all unsigned 64-bit.

    They are followed by the health figures that a worker writes, see
    `amoc.metrics.health_figures.cell`.
    """

    INCARNATION = 0
    """Which incarnation of this worker it is; 1 is the first."""
    PID = 1
    HEARTBEAT_NS = 2
    """When the worker's event loop last ran, monotonic."""
    USERS_PEAK = 3
    RESTARTED = 4
    """Users started again because the previous worker had died."""
    MAX_RSS_BYTES = 5
    CPU_BEFORE_NS = 6
    """CPU time of the worker's previous incarnations."""
    ITERATION_NUMBERS = 7
    """How many iteration numbers it has assigned, see `amoc.users.run`."""
    HIGHEST_USER = 8
    """The highest id of the users that it has started itself, for an arrival rate."""


class UserState(IntEnum):
    """The state in a user's byte."""

    NONE = 0
    """Not assigned to a worker."""
    STARTING = 1
    """Assigned to a worker, not running yet."""
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
    """Running its last iteration: it was removed by a command."""
    TIMED_OUT = 10
    """Had not finished within --stop-timeout, and was killed."""


PRESENT = (UserState.STARTING, UserState.RUNNING, UserState.BETWEEN, UserState.RESTARTING)
"""States of users that are running or about to, and were not removed."""
RESTARTABLE = (UserState.RUNNING, UserState.BETWEEN, UserState.RESTARTING)
"""States from which a user must be started again if its worker dies."""


class Board:
    """The whole block, mapped by a node and all processes that it forks.

    Attributes:
        workers: The number of rows.
        first: The number of its first worker in the run.
        highest_id: The highest user id that has a byte.
        users: The users' bytes; the index is the id.
    """

    def __init__(self, workers: int, highest_id: int) -> None:
        """Map a new board.

        Raises:
            ResourceError: The system does not provide that much shared memory.
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
        """Return the row of `worker`: cells by `Cell`."""
        return self._rows[worker - self.first]

    def area(self, worker: int) -> Area:
        """Return the metrics of `worker`."""
        return self._areas[worker - self.first]

    @property
    def numbers(self) -> range:
        """The numbers of its workers in the run."""
        return range(self.first, self.first + self.workers)

    def count_users(self, ids: range) -> dict[UserState, int]:
        """Return how many of the users `ids` are in each state; empty states are absent."""
        states = bytes(self.users[ids.start : ids.stop : ids.step])
        # Counting each state separately takes a tenth of the time of a collections.Counter.
        return {state: count for state in UserState if (count := states.count(state))}

    def users_in(self, states: tuple[UserState, ...], ids: range) -> list[int]:
        """Return those of `ids` that are in one of `states`, in order."""
        wanted = frozenset(map(int, states))
        found = bytes(self.users[ids.start : ids.stop : ids.step])
        return [user_id for user_id, state in zip(ids, found, strict=True) if state in wanted]

    def highest_in(self, states: tuple[UserState, ...], ids: range, count: int) -> list[int]:
        """Return the `count` highest of `ids` that are in one of `states`, in descending order."""
        found: list[int] = []
        while ids and len(found) < count:  # in parts, because there may be a million users
            ids, part = ids[:-LOOK], ids[-LOOK:]
            found += reversed(self.users_in(states, part))
        return found[: max(0, count)]
