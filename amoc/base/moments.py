"""The moments at which a process does what it does at regular times: all of it in one turn.

To wake up costs an idle process more than what it wakes up for. Processes of a host have different
moments, or all of them would want a core at once.
"""

from __future__ import annotations

import os

from gevent import get_hub

from amoc.base.clock import MS_NS, S_NS, now_ns

_PHASE_NS = 50 * MS_NS
_known_ns: int | None = None
"""One of these moments, where something has said when they are."""


def follow(at_ns: int | None) -> None:
    """Have the moments of this process be at `at_ns` and whole seconds from it; None: as at first.

    For one that is woken up each second by another process: it does all in the same turn.
    """
    global _known_ns
    _known_ns = at_ns


def to_next_s(period_s: float) -> float:
    """How long it is to a moment at which this process does what it does each `period_s`.

    These moments are the same for all that has the period, or one that divides it, in half seconds.
    A timer that is started at once rings then.
    """
    # Timers begin at the time at which the loop's turn did, and would ring too early by its length.
    get_hub().loop.update_now()
    period_ns = int(period_s * S_NS)
    one_ns = -os.getpid() % 10 * _PHASE_NS if _known_ns is None else _known_ns
    left_ns = period_ns - (now_ns() - one_ns) % period_ns
    # One may ring a moment too early all the same; it is not to ring twice.
    return (left_ns if left_ns > period_ns // 4 else left_ns + period_ns) / S_NS
