"""Periodic yielding to the event loop during long work.

A process of a run must keep feeding throttles and starting and stopping users. Long work is split
into parts of at most a millisecond, with a call of a `PeriodicYield` between two parts.
"""

from __future__ import annotations

import gevent

from amoc.base.clock import MS_NS, now_ns

HOLD_NS = 2 * MS_NS
"""How long the loop may be blocked by default."""
PAUSE_S = 0.0001
"""Not 0: gevent runs fifty ready greenlets before it polls timers and sockets."""


class PeriodicYield:
    """Yields to the event loop when called, if the loop has been blocked for long enough."""

    def __init__(self, hold_ns: int | None = None) -> None:
        """Block the loop for up to `hold_ns` at a time, `HOLD_NS` by default."""
        self._hold_ns = hold_ns
        self._since_ns = now_ns()

    def begin(self) -> None:
        """Count the time from now; the loop has just had its turn."""
        self._since_ns = now_ns()

    def __call__(self) -> None:
        """Yield if it is time to."""
        hold_ns = HOLD_NS if self._hold_ns is None else self._hold_ns
        if now_ns() - self._since_ns >= hold_ns:
            gevent.sleep(PAUSE_S)
            self._since_ns = now_ns()
