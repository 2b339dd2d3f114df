"""When the event loop begins a turn, and when it has ended one and goes to wait.

A turn is what happens between two waits for the kernel: callbacks, and greenlets that go on. One
that takes long keeps all others waiting. To ask the loop costs a microsecond or two a turn.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from gevent import get_hub


class LoopTurns:
    """Tells of each turn of this thread's event loop, while it is started."""

    def __init__(self, begins: Callable[[], None], ends: Callable[[], None]) -> None:
        """Call `begins` before all that a turn does, and `ends` after it, in the hub."""
        loop: Any = get_hub().loop
        # libev calls what has a high priority first; gevent's own have one in between.
        self._begin = loop.check(ref=False, priority=loop.MAXPRI)
        self._end = loop.prepare(ref=False, priority=loop.MINPRI)
        self._begins, self._ends = begins, ends

    def start(self) -> None:
        """Tell from now on; of the turn that goes on only its end."""
        self._begin.start(self._begins)
        self._end.start(self._ends)

    def stop(self) -> None:
        """Tell no more."""
        self._begin.stop()
        self._end.stop()

    def close(self) -> None:
        """Tell no more, for ever."""
        self.stop()
        self._begin.close()
        self._end.close()
