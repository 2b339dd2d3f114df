"""The pause of a whole run: users stop at their next call of amoc, and time stands still.

A worker has one `Pause`. While it holds, whoever comes back from waiting for amoc waits on, and the
time that passes does not count: a user that slept half of its second when the run was paused sleeps
the other half when it goes on.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from gevent import get_hub, getcurrent
from greenlet import greenlet

from amoc.base.clock import S_NS, now_ns

__all__ = ["frozen_ns", "held_ns", "hold", "paused", "release", "reset", "wait", "wait_resumed"]


class _Pause:
    def __init__(self) -> None:
        self.since_ns = 0
        self.before_ns = 0
        self.parked: dict[greenlet, None] = {}


_pause = _Pause()


def paused() -> bool:
    """Whether the run is paused."""
    return bool(_pause.since_ns)


def frozen_ns() -> int:
    """For how long the run has been paused so far, all pauses together."""
    running = now_ns() - _pause.since_ns if _pause.since_ns else 0
    return _pause.before_ns + running


def held_ns() -> int:
    """For how long pauses have held up the calling greenlet so far.

    It is what a duration that the greenlet measures must not count.
    """
    if not (_pause.before_ns or _pause.since_ns):
        return 0
    held: int = getattr(getcurrent(), "held_ns", 0)
    return held


def reset() -> None:
    """A run begins: there was no pause yet."""
    _pause.since_ns = _pause.before_ns = 0


def hold() -> None:
    """The run is paused."""
    if not _pause.since_ns:
        _pause.since_ns = now_ns()


def release() -> None:
    """The run goes on; those that were held go on at the loop's next turn."""
    if not _pause.since_ns:
        return
    _pause.before_ns = frozen_ns()
    _pause.since_ns = 0
    loop = get_hub().loop
    parked, _pause.parked = _pause.parked, {}
    for one in parked:
        loop.run_callback(_wake, one, parked)


def _wake(one: greenlet, parked: dict[greenlet, None]) -> None:
    # A killed one has taken itself out, and may be anywhere by now.
    if one in parked:
        del parked[one]
        one.switch()


def wait_resumed(frozen_before_ns: int | None = None) -> None:
    """Wait while the run is paused; returns at once when it is not.

    Args:
        frozen_before_ns: What `frozen_ns` said when the caller began to wait for something that had
            to wait for the end of the pause too; None means now.
    """
    if not _pause.since_ns and frozen_before_ns in (None, _pause.before_ns):
        return
    if frozen_before_ns is None:
        frozen_before_ns = frozen_ns()
    _wait_resumed()
    _note(frozen_ns() - frozen_before_ns)


def _wait_resumed() -> None:
    me, hub = getcurrent(), get_hub()
    while _pause.since_ns and me is not hub:
        parked = _pause.parked
        parked[me] = None
        try:
            hub.switch()
        finally:
            parked.pop(me, None)


def _note(held: int) -> None:
    me: Any = getcurrent()
    if held and me is not get_hub():
        me.held_ns = getattr(me, "held_ns", 0) + held


def wait(part: Callable[[float], object], seconds: float) -> bool:
    """Wait `seconds` of the run's own time, in which pauses do not count.

    Args:
        part: Waits so many seconds at the most; True means that the wait is over.
        seconds: How long to wait; ``inf`` is allowed.

    Returns:
        Whether `part` said True.
    """
    begun_ns, frozen_before_ns = now_ns(), frozen_ns()
    left_s = seconds
    while True:
        over = bool(part(left_s))
        _wait_resumed()
        froze_ns = frozen_ns() - frozen_before_ns
        if froze_ns and not over:
            left_s = seconds - (now_ns() - begun_ns - froze_ns) / S_NS
        if over or not froze_ns or left_s <= 0:
            _note(froze_ns)
            return over
