"""A gate for greenlets, such as one that is open while a queue has room."""

from __future__ import annotations

from collections.abc import Callable
from math import inf

from gevent import get_hub

from amoc.base.waiting import Waiter


class OpenGate:
    """A gate that greenlets wait for until it opens; all then resume together. Open at first.

    Attributes:
        is_open: Whether `wait` returns at once.
        waiting: The waiters, in FIFO order.
    """

    __slots__ = ("is_open", "waiting")

    def __init__(self) -> None:
        self.is_open = True
        self.waiting: dict[Waiter[None], None] = {}

    def open(self) -> None:
        """Open it; waiting greenlets resume at the loop's next turn."""
        self.is_open = True
        for waiter in self.waiting:
            if not waiter.done:
                waiter.set(None)
                get_hub().loop.run_callback(waiter.wake)

    def shut(self) -> None:
        """Shut it."""
        self.is_open = False

    def wait(
        self, timeout: float = inf, by: Callable[[Waiter[None], float], bool] = Waiter.wait
    ) -> bool:
        """Wait until it is open.

        Args:
            timeout: Maximum wait in seconds.
            by: The wait function; for a user `amoc.base.waiting.wait`, which takes pauses and
                interrupts into account.

        Returns:
            Whether it opened; it may have been shut again since.

        Raises:
            ScenarioError: The caller is the event loop itself.
        """
        if self.is_open:
            return True
        waiter: Waiter[None] = Waiter()
        self.waiting[waiter] = None
        try:
            return by(waiter, timeout)
        finally:
            self.waiting.pop(waiter, None)
