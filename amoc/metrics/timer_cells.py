"""A timer's cells on the board: counts by duration, the longest, and which rows were hit. Pure.

First come the cells of a histogram, in rows, then the longest duration in ns, and then for each row
whether any of its cells was ever hit: readers look at no others.
"""

from __future__ import annotations

from amoc.metrics.histogram import CELLS, ROW, ROWS, Histogram, cell_of

HIT = CELLS + 1
"""Behind a timer's cells and its maximum: for each row of cells, 1 if any of them was ever hit."""
TIMER_CELLS = HIT + ROWS
"""How many cells a timer has in all."""
ROW_OF_CELLS = ROW * 8
"""The bytes of a row of cells. A timer begins where one does, so that readers can look at many."""


def record(timer: memoryview[int], ns: int) -> None:
    """Record a duration; `amoc.metrics.handles.Timer` has this written out.

    The order matters: a reader in between, or after a ``kill -9``, must not find a duration above
    the maximum, nor miss one because its row has not been hit.
    """
    timer[CELLS] = max(timer[CELLS], ns)
    hit(timer, cell_of(ns))


def hit(timer: memoryview[int], cell: int, times: int = 1) -> None:
    """Count durations that fall into `cell`, none of which is above the maximum."""
    timer[HIT + cell // ROW] = 1
    timer[cell] += times


def read(timer: memoryview[int]) -> Histogram:
    """What was recorded, as a sparse histogram."""
    found: dict[int, int] = {}
    for row, is_hit in enumerate(timer[HIT:TIMER_CELLS]):
        if is_hit:
            counts = timer[row * ROW : (row + 1) * ROW]
            found.update((row * ROW + cell, count) for cell, count in enumerate(counts) if count)
    return Histogram(found, timer[CELLS])
