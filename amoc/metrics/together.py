"""Records several metrics in one call, for what happens with each request of each user.

A call costs a worker more than the recording itself, and metrics that count the same events are
written once (`Registry.joint`): two timers and four counters take half the time this way.
"""

from __future__ import annotations

from amoc.metrics.area import MAX_COUNT
from amoc.metrics.handles import Counter, Timer
from amoc.metrics.histogram import CELLS, LAST_CELL, ROW
from amoc.metrics.timer_cells import HIT

Amounts = tuple[tuple[Counter, int], ...]
"""Counters, and the amount to add to each: ints of at least 0."""
OfRequest = tuple[Counter, Counter, Counter, Counter, Timer, Timer]
"""Counters of requests, of bytes received and sent, and of the sizes of bodies; timers of first
bytes and of requests."""


def record(
    counters: tuple[Counter, ...], amounts: Amounts, timers: tuple[Timer, ...], ns: int
) -> None:
    """Record an event: that it happened, its amounts, and its duration.

    Args:
        counters: Each counts one more event.
        amounts: Counters, and the amount to add to each.
        timers: Each records `ns`.
        ns: Below 2**64 ns; a negative one, from the difference of two clocks, counts as 0.
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
    # histogram.cell_of and timer_cells.record, inlined.
    if ns < 0:
        ns = 0
    shift = ns.bit_length() - 8
    cell = ns if shift < 0 else shift * ROW + (ns >> shift)
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


def event(counter: Counter, timer: Timer, ns: int) -> None:
    """Count an event and record its duration: `record`, in half the time."""
    if ns < 0 or ns > timer._max_ns:
        record((counter,), (), (timer,), ns)
        return
    try:
        counter._cells[0] = counter._count = counter._count + 1
    except ValueError:  # a cell has 64 bits
        counter.inc()
    shift = ns.bit_length() - 8
    cell = ns if shift < 0 else shift * ROW + (ns >> shift)
    if cell > LAST_CELL:
        cell = LAST_CELL
    cells = timer._cells
    count = cells[cell]
    if not count:
        cells[HIT + (cell >> 7)] = 1
    cells[cell] = count + 1


def request(meters: OfRequest, received: int, sent: int, size: int, first_ns: int, ns: int) -> bool:
    """Record everything about a typical request.

    Args:
        meters: Its counters and timers.
        received: Bytes received, at least 0.
        sent: Bytes sent, at least 0.
        size: Size of the body, at least 0.
        first_ns: The time to the first byte, a part of `ns`; the difference of two clocks.
        ns: The duration; the difference of two clocks.

    Returns:
        Whether it was recorded; False if a duration is unusual, such as the longest so far.
    """
    events, incoming, outgoing, sizes, first, whole = meters
    if first_ns < 0 or first_ns > ns or first_ns > first._max_ns or ns > whole._max_ns:
        return False
    shift = ns.bit_length() - 8
    cell = ns if shift < 0 else shift * ROW + (ns >> shift)
    if cell > LAST_CELL:
        return False
    try:
        events._cells[0] = events._count = events._count + 1
        incoming._cells[0] = incoming._count = incoming._count + received
        outgoing._cells[0] = outgoing._count = outgoing._count + sent
        sizes._cells[0] = sizes._count = sizes._count + size
    except ValueError:  # a cell has 64 bits; this one is full, and the rest is yet to be counted
        left = [*zip(meters[:4], (1, received, sent, size), strict=True)]
        while left[0][0]._count + left[0][1] <= MAX_COUNT:
            del left[0]
        for counter, amount in left:
            counter.inc(amount)
    cells = whole._cells
    count = cells[cell]
    if not count:
        cells[HIT + (cell >> 7)] = 1
    cells[cell] = count + 1
    shift = first_ns.bit_length() - 8
    cell = first_ns if shift < 0 else shift * ROW + (first_ns >> shift)
    cells = first._cells
    count = cells[cell]
    if not count:
        cells[HIT + (cell >> 7)] = 1
    cells[cell] = count + 1
    return True
