"""A latch: shut or open, and greenlets wait until it is open; however many, all go at once."""

from __future__ import annotations

from math import inf

from gevent import get_hub

from amoc.base.waiting import Waiter

__all__ = ["OpenGate"]


class OpenGate:
    """Open at first.

    Attributes:
        is_open: Whether nobody need wait.
    """

    __slots__ = ("_waiting", "is_open")

    def __init__(self) -> None:
        self.is_open = True
        self._waiting: dict[Waiter[None], None] = {}

    def set(self, is_open: bool) -> None:
        """Open or shut it; those that wait go on at the loop's next turn."""
        self.is_open = is_open
        if is_open and self._waiting:
            loop = get_hub().loop
            for waiter in self._waiting:
                if not waiter.done:
                    waiter.set(None)
                    loop.run_callback(waiter.wake)

    def wait(self, timeout: float = inf, waiter: Waiter[None] | None = None) -> bool:
        """Wait until it is open, `timeout` seconds at the most.

        Args:
            timeout: Seconds.
            waiter: For those that somebody may have to wake earlier.

        Returns:
            Whether it has opened; somebody else may have shut it again since.

        Raises:
            ScenarioError: The caller is the event loop itself.
        """
        if self.is_open:
            return True
        if waiter is None:
            waiter = Waiter()
        self._waiting[waiter] = None
        try:
            return waiter.wait(timeout)
        finally:
            self._waiting.pop(waiter, None)
