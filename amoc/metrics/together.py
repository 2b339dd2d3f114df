"""Recording several metrics in one call, for what happens with each request of each user.

A call costs a worker more than what it does: two timers and four counters take half the time so.
"""

from __future__ import annotations

from amoc.metrics.board import HIT
from amoc.metrics.handles import Counter, Timer
from amoc.metrics.histogram import CELLS, cell_of


def inc(counters: tuple[Counter, ...]) -> None:
    """Count one more event in each."""
    for one in counters:
        try:
            one._cells[0] += 1
        except ValueError:  # a cell has 64 bits
            one.inc()


def add(counters: tuple[Counter, ...], n: int) -> None:
    """Count `n` more events in each, an int of at least 0."""
    for one in counters:
        try:
            one._cells[0] += n
        except ValueError:
            one.inc(n)


def succeeded(counters: tuple[Counter, ...], timers: tuple[Timer, ...], ns: int) -> None:
    """Count one more event in each counter, and record how long it took in each timer.

    Args:
        counters: What counts it.
        timers: What times it.
        ns: How long it took, from 0 to below 2**64 ns.
    """
    for counter in counters:
        try:
            counter._cells[0] += 1
        except ValueError:  # a cell has 64 bits
            counter.inc()
    cell = cell_of(ns)
    for one in timers:
        # board.record, written out, but for the cell, which is the same in all.
        cells = one._cells
        if ns > cells[CELLS]:
            cells[CELLS] = ns
        count = cells[cell]
        if not count:
            cells[HIT + (cell >> 7)] = 1
        cells[cell] = count + 1
