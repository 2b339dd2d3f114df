"""Ticks shared by all periodic work of a process, so that one wake-up serves all of it.

In an idle process a wake-up costs more than the work done. Processes of a host tick at different
times; otherwise they would all compete for the cores at once.
"""

from __future__ import annotations

import os
from collections.abc import Callable
from typing import NoReturn

from gevent import get_hub, sleep

from amoc.base.clock import MS_NS, S_NS, now_ns

_PHASE_NS = 50 * MS_NS
_aligned_ns: int | None = None
"""The time of one tick, if `align` has set it."""


def align(at_ns: int | None) -> None:
    """Put the ticks of this process at `at_ns` and whole seconds from it; None: at the default.

    For a process that another one wakes up every second: all its work then happens in that turn.
    """
    global _aligned_ns
    _aligned_ns = at_ns


def forever(period_s: float, work: Callable[..., object], *arguments: object) -> NoReturn:
    """Call ``work(*arguments)`` now and at each tick of this period; for a greenlet of its own."""
    while True:
        work(*arguments)
        sleep(to_next_tick_s(period_s))


def to_next_tick_s(period_s: float) -> float:
    """Return the time until the next tick of work with this period.

    All work with the same period, or with periods that divide each other, shares its ticks.
    Periods are multiples of half a second. A timer set to the result at once fires at the tick.
    """
    # A timer counts from the start of the loop's turn, and would fire early by the turn's length.
    get_hub().loop.update_now()
    period_ns = int(period_s * S_NS)
    tick_ns = -os.getpid() % 10 * _PHASE_NS if _aligned_ns is None else _aligned_ns
    left_ns = period_ns - (now_ns() - tick_ns) % period_ns
    # A timer may fire slightly early all the same; it must not fire again for the same tick.
    return (left_ns if left_ns > period_ns // 4 else left_ns + period_ns) / S_NS
