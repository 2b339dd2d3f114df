"""Lets the loop turn during work that would hold it for too long.

A process of a run has throttles to feed and users to start and stop. What takes long is done in
parts of a millisecond or less, and between two of them a `Breather` is called.
"""

from __future__ import annotations

import gevent

from amoc.base.clock import MS_NS, now_ns

HOLD_NS = 2 * MS_NS
"""How long the loop may be held."""
PAUSE_S = 0.0001
"""Not 0: gevent runs fifty greenlets that are ready before it looks at timers and sockets."""


class Breather:
    """Lets the loop turn, when it is called and has held the loop for long enough."""

    def __init__(self, hold_ns: int | None = None) -> None:
        """Hold the loop for up to `hold_ns` at a time; for `HOLD_NS` where none is given."""
        self._hold_ns = hold_ns
        self._since_ns = now_ns()

    def begin(self) -> None:
        """Work begins; the loop has turned until now."""
        self._since_ns = now_ns()

    def __call__(self) -> None:
        """Go on, perhaps after a turn of the loop."""
        hold_ns = HOLD_NS if self._hold_ns is None else self._hold_ns
        if now_ns() - self._since_ns >= hold_ns:
            gevent.sleep(PAUSE_S)
            self._since_ns = now_ns()
