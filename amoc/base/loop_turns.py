"""Hooks for the begin and end of each turn of the event loop.

A turn is everything between two waits for the kernel: callbacks, and greenlets that run. A long
turn delays all others. The hooks cost a microsecond or two per turn.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from gevent import get_hub


class LoopTurns:
    """Calls functions around each turn of this thread's event loop, while it is started."""

    def __init__(self, begins: Callable[[], None], ends: Callable[[], None]) -> None:
        """Call `begins` before everything else in a turn, and `ends` after it, in the hub."""
        loop: Any = get_hub().loop  # Any: the stubs lack its priorities
        # libev calls watchers of high priority first; gevent's own are in between.
        self._begin = loop.check(ref=False, priority=loop.MAXPRI)
        self._end = loop.prepare(ref=False, priority=loop.MINPRI)
        self._begins, self._ends = begins, ends

    def start(self) -> None:
        """Start calling; for the current turn, only `ends` is called."""
        self._begin.start(self._begins)
        self._end.start(self._ends)

    def stop(self) -> None:
        """Stop calling; `start` may follow."""
        self._begin.stop()
        self._end.stop()

    def close(self) -> None:
        """Stop for good, and free the watchers."""
        self._begin.close()
        self._end.close()
