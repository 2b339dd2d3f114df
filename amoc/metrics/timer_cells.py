"""A timer's cells on the board: counts by duration, the maximum, and which rows were hit. Pure.

First come the cells of a histogram, in rows, then the maximum in ns, and then, for each row,
whether any of its cells was ever hit; readers skip the others.
"""

from __future__ import annotations

from amoc.metrics.histogram import CELLS, ROW, ROWS, Histogram, cell_of

HIT = CELLS + 1
"""Index of the first of the cells that are 1 if any cell of their row was ever hit."""
TIMER_CELLS = HIT + ROWS
"""The number of a timer's cells."""
ROW_OF_CELLS = ROW * 8
"""Size of a row of cells. Timers are aligned to it, so that readers can process many at once."""


def record(timer: memoryview[int], ns: int) -> None:
    """Record a duration; inlined in `amoc.metrics.handles.Timer`.

    The order matters: a reader in between, or after a ``kill -9``, must not find a duration above
    the maximum, nor miss one because its row is not marked as hit.
    """
    timer[CELLS] = max(timer[CELLS], ns)
    hit(timer, cell_of(ns))


def hit(timer: memoryview[int], cell: int, times: int = 1) -> None:
    """Count durations in `cell`, none of which is above the maximum."""
    timer[HIT + cell // ROW] = 1
    timer[cell] += times


def read(timer: memoryview[int]) -> Histogram:
    """Return the recorded durations as a sparse histogram."""
    found: dict[int, int] = {}
    for row, is_hit in enumerate(timer[HIT:TIMER_CELLS]):
        if is_hit:
            counts = timer[row * ROW : (row + 1) * ROW]
            found.update((row * ROW + cell, count) for cell, count in enumerate(counts) if count)
    return Histogram(found, timer[CELLS])
