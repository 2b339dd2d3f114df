"""Waiting with a deadline, and being woken exactly once.

A greenlet parks in the hub; whoever has what it waits for sets it and wakes it. The deadline's
timer, the waker and a kill may all come in one turn of the loop: whoever is first wins, the others
find nobody. gevent's own `Event` can lose a waiter that asks again and again with a time-out of a
few milliseconds, so loops that do so use a `Notify`.
"""

from __future__ import annotations

from math import inf
from typing import Generic, TypeVar

from gevent import get_hub, getcurrent
from greenlet import greenlet

from amoc.base.errors import ScenarioError

__all__ = ["Notify", "Waiter"]

T = TypeVar("T")


class Waiter(Generic[T]):
    """One greenlet's wait for one value.

    Attributes:
        done: Whether the value, or an error in its stead, is there.
        value: The value; None until it is there.
        error: What to raise instead.
    """

    __slots__ = ("_greenlet", "done", "error", "value")

    def __init__(self) -> None:
        self._greenlet: greenlet | None = None
        self.done = False
        self.value: T | None = None
        self.error: BaseException | None = None

    def wait(self, timeout: float = inf) -> bool:
        """Park until it is done, or `timeout` seconds have passed.

        Returns:
            Whether it is done; if not, nobody will wake this greenlet any more.

        Raises:
            ScenarioError: The caller is the event loop itself, a handler say.
            BaseException: What it was done with in place of a value.
        """
        if not self.done:
            self._park(timeout)
        if self.error is not None:
            raise self.error
        return self.done

    def _park(self, timeout: float) -> None:
        hub = get_hub()
        current = getcurrent()
        if current is hub:
            raise ScenarioError(
                "a handler runs inside the event loop and must not wait for anything"
            )
        timer = None
        if timeout < inf:
            timer = hub.loop.timer(max(timeout, 0.0))
            timer.start(self.wake)
        self._greenlet = current
        try:
            hub.switch()
        finally:
            self._greenlet = None
            if timer is not None:
                timer.stop()
                timer.close()

    def set(self, value: T) -> None:
        """It has come. Follow with `wake`."""
        if not self.done:
            self.done = True
            self.value = value

    def fail(self, error: BaseException) -> None:
        """It will never come. Follow with `wake`."""
        if not self.done:
            self.done = True
            self.error = error

    def holds(self, other: greenlet) -> bool:
        """Whether `other` is the one that is parked here."""
        return self._greenlet is other

    def wake(self) -> None:
        """Let the parked greenlet go on, if any: from the hub at once, else at its next turn."""
        parked = self._greenlet
        if parked is None:
            return
        hub = get_hub()
        if getcurrent() is hub:
            self._greenlet = None
            parked.switch()
        else:
            hub.loop.run_callback(self.wake)


class Notify:
    """Wakes the one greenlet that waits for it; a ring that nobody heard is heard at once."""

    __slots__ = ("_rung", "_waiter")

    def __init__(self) -> None:
        self._rung = False
        self._waiter: Waiter[None] | None = None

    def ring(self) -> None:
        """Wake who waits, at the loop's next turn; from any greenlet, or from the hub."""
        self._rung = True
        waiter = self._waiter
        if waiter is not None and not waiter.done:
            waiter.set(None)
            get_hub().loop.run_callback(waiter.wake)

    def wait(self, timeout: float = inf) -> bool:
        """Wait for a ring, `timeout` seconds at the most; whether there was one since the last."""
        if not self._rung:
            self._waiter = Waiter()
            try:
                self._waiter.wait(timeout)
            finally:
                self._waiter = None
        rung, self._rung = self._rung, False
        return rung
