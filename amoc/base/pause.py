"""The pause of a whole run: users stop at their next call to amoc, and the run's clock stops.

Each process has one such clock. While the run is paused, a greenlet that returns from a wait in
amoc keeps waiting, and that time does not count: a user that had slept for half of its second when
the run was paused sleeps for the other half after the pause.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from gevent import get_hub, getcurrent
from greenlet import greenlet

from amoc.base.clock import now_ns


class PauseClock:
    """The run's clock, which stops during pauses.

    Attributes:
        since_ns: When the current pause began; 0 if there is none.
        earlier_ns: The total duration of earlier pauses.
    """

    __slots__ = ("_now", "earlier_ns", "since_ns")

    def __init__(self, now: Callable[[], int] = now_ns) -> None:
        self._now = now
        self.since_ns = self.earlier_ns = 0

    def pause(self) -> None:
        """Pause the clock, if it is not paused already."""
        if not self.since_ns:
            self.since_ns = self._now()

    def resume(self) -> bool:
        """Resume the clock; return whether it was paused."""
        if not self.since_ns:
            return False
        self.earlier_ns = self.paused_ns()
        self.since_ns = 0
        return True

    def paused_ns(self) -> int:
        """Return the total duration of all pauses so far."""
        return self.earlier_ns + (self._now() - self.since_ns if self.since_ns else 0)

    def run_ns(self) -> int:
        """Return the current time without pauses."""
        return (self.since_ns or self._now()) - self.earlier_ns


AnyGreenlet = Any  # Any: a greenlet takes attributes of all names, here those of amoc
"""A greenlet with amoc's own attributes, each declared where it is set: ``waiting_for``…"""
clock = PauseClock()
"""The clock of this process."""
paused_greenlets: dict[greenlet, None] = {}
"""Greenlets that wait for the end of the current pause."""
paused_waits: dict[Callable[[], None], None] = {}
"""The wake functions of waits whose deadline came during the pause."""


def own_paused_ns() -> int:
    """Return how long pauses have delayed the calling greenlet so far.

    Durations measured by the greenlet must not include this time.
    """
    if not (clock.earlier_ns or clock.since_ns):
        return 0
    own: int = getattr(getcurrent(), "paused_ns", 0)
    return own


def reset() -> None:
    """Forget all pauses, at the start of a run."""
    clock.since_ns = clock.earlier_ns = 0


def pause() -> None:
    """Pause the run in this process."""
    clock.pause()


def resume() -> None:
    """Resume the run in this process; paused greenlets continue at the loop's next turn."""
    if clock.resume():
        loop = get_hub().loop
        for one in tuple(paused_greenlets):
            loop.run_callback(_wake, one)
        for wake in tuple(paused_waits):
            loop.run_callback(wake)


def _wake(one: greenlet) -> None:
    # A greenlet killed meanwhile has removed itself, and must not be switched to here.
    if one in paused_greenlets:
        del paused_greenlets[one]
        one.switch()


def wait_resumed(paused_before_ns: int | None = None) -> None:
    """Wait while the run is paused; return at once if it is not.

    Args:
        paused_before_ns: The clock's `paused_ns` when the caller's wait began, so that a pause
            within that wait counts as its delay, too; None means now.
    """
    if not clock.since_ns and paused_before_ns in (None, clock.earlier_ns):
        return
    if paused_before_ns is None:
        paused_before_ns = clock.paused_ns()
    _wait_resumed()
    delay_ns = clock.paused_ns() - paused_before_ns
    me: AnyGreenlet = getcurrent()
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
