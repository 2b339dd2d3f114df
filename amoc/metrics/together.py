"""Recording several metrics in one call, for what happens with each request of each user.

A call costs a worker more than what it does: three timers and eight counters take half the time so.
"""

from __future__ import annotations

from amoc.metrics.handles import Counter, Timer
from amoc.metrics.histogram import CELLS, LAST_CELL
from amoc.metrics.timer_cells import HIT

Amounts = tuple[tuple[Counter, int], ...]
"""Counters, and how much to add to each: ints of at least 0."""


def record(
    counters: tuple[Counter, ...], amounts: Amounts, timers: tuple[Timer, ...], ns: int
) -> None:
    """Count what has happened once, what it has brought, and how long it took.

    Args:
        counters: Each counts one more event.
        amounts: Each of these counters goes up by the number with it.
        timers: Each records `ns`.
        ns: From below 2**64 ns; what is below 0 counts as 0, being the difference of two clocks.
    """
    for counter in counters:
        try:
            counter._cells[0] = counter._count = counter._count + 1
        except ValueError:  # a cell has 64 bits
            counter.inc()
    for counter, amount in amounts:
        try:
            counter._cells[0] = counter._count = counter._count + amount
        except ValueError:
            counter.inc(amount)
    # histogram.cell_of and timer_cells.record, written out.
    if ns < 0:
        ns = 0
    shift = ns.bit_length() - 8
    cell = ns if shift < 0 else (shift << 7) + (ns >> shift)
    if cell > LAST_CELL:
        cell = LAST_CELL
    for timer in timers:
        cells = timer._cells
        if ns > timer._max_ns:
            cells[CELLS] = timer._max_ns = max(ns, cells[CELLS])
        count = cells[cell]
        if not count:
            cells[HIT + (cell >> 7)] = 1
        cells[cell] = count + 1
