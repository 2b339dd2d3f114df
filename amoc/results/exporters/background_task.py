"""Work in a greenlet of its own, beside whoever has it done."""

from __future__ import annotations

from collections.abc import Callable

import gevent
from gevent.event import Event


class Beside:
    """Works when there is something to do, until the end.

    Attributes:
        end: Set when there will be nothing more to do.
    """

    def __init__(self, work: Callable[[], None]) -> None:
        """Begin; `work` is called once, in the new greenlet, and calls `wait` when it is idle."""
        self.end = Event()
        self._news = Event()
        self._greenlet = gevent.spawn(work)

    def ring(self) -> None:
        """There is something to do."""
        self._news.set()

    def wait(self) -> bool:
        """Wait for something to do; False when there will be nothing more."""
        self._news.clear()
        if self.end.is_set():
            return False
        self._news.wait()
        return True

    def close(self, deadline_s: float) -> None:
        """There will be nothing more; what is left has `deadline_s` to be done."""
        self.end.set()
        self._news.set()
        self._greenlet.join(deadline_s)
        self._greenlet.kill()
