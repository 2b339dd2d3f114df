"""The pause of a whole run: users stop at their next call of amoc, and its clock stands still.

A process has one such clock. While the run is paused, a greenlet that comes back from waiting for
amoc waits on, and the time that passes does not count: a user that has slept half of its second
when the run is paused sleeps the other half when it is resumed.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from gevent import get_hub, getcurrent
from greenlet import greenlet

from amoc.base.clock import now_ns


class PauseClock:
    """Knows whether a run is paused, and tells its time without the pauses.

    Attributes:
        since_ns: When the pause began; 0 while the run goes on.
        earlier_ns: How long the pauses before it took together.
    """

    __slots__ = ("_now", "earlier_ns", "since_ns")

    def __init__(self, now: Callable[[], int] = now_ns) -> None:
        self._now = now
        self.since_ns = self.earlier_ns = 0

    def pause(self) -> None:
        """The run is paused; harmless the second time."""
        if not self.since_ns:
            self.since_ns = self._now()

    def resume(self) -> bool:
        """The run goes on; whether it was paused."""
        if not self.since_ns:
            return False
        self.earlier_ns = self.paused_ns()
        self.since_ns = 0
        return True

    def paused_ns(self) -> int:
        """For how long the run has been paused so far, all pauses together."""
        return self.earlier_ns + (self._now() - self.since_ns if self.since_ns else 0)

    def run_ns(self) -> int:
        """The time now without the pauses."""
        return (self.since_ns or self._now()) - self.earlier_ns


clock = PauseClock()
"""That of this process."""
paused_greenlets: dict[greenlet, None] = {}
"""Those that wait for the end of the pause now."""
paused_waits: dict[Callable[[], None], None] = {}
"""Waits whose deadline came in the pause: what wakes the greenlets that are parked in them."""


def own_paused_ns() -> int:
    """For how long pauses have delayed the calling greenlet so far.

    It is what a duration that the greenlet measures must not count.
    """
    if not (clock.earlier_ns or clock.since_ns):
        return 0
    own: int = getattr(getcurrent(), "paused_ns", 0)
    return own


def reset() -> None:
    """A run begins: there was no pause yet."""
    clock.since_ns = clock.earlier_ns = 0


def pause() -> None:
    """The run is paused."""
    clock.pause()


def resume() -> None:
    """The run goes on; those that were paused continue at the loop's next turn."""
    if clock.resume():
        loop = get_hub().loop
        for one in tuple(paused_greenlets):
            loop.run_callback(_wake, one)
        for wake in tuple(paused_waits):
            loop.run_callback(wake)


def _wake(one: greenlet) -> None:
    # One that was killed has removed itself, and may be anywhere by now.
    if one in paused_greenlets:
        del paused_greenlets[one]
        one.switch()


def wait_resumed(paused_before_ns: int | None = None) -> None:
    """Wait while the run is paused; returns at once when it is not.

    Args:
        paused_before_ns: What the clock's `paused_ns` said when the caller began to wait for
            something that had to wait for the end of the pause too; None means now.
    """
    if not clock.since_ns and paused_before_ns in (None, clock.earlier_ns):
        return
    if paused_before_ns is None:
        paused_before_ns = clock.paused_ns()
    _wait_resumed()
    delay_ns = clock.paused_ns() - paused_before_ns
    me: Any = getcurrent()  # any greenlet takes attributes
    if delay_ns and me is not get_hub():
        me.paused_ns = getattr(me, "paused_ns", 0) + delay_ns


def _wait_resumed() -> None:
    me, hub = getcurrent(), get_hub()
    while clock.since_ns and me is not hub:
        paused_greenlets[me] = None
        try:
            hub.switch()
        finally:
            paused_greenlets.pop(me, None)
