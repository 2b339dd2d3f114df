"""The pause of a whole run: users stop at their next call of amoc, and time stands still.

A worker has one `Pause`. While it holds, whoever comes back from waiting for amoc waits on, and the
time that passes does not count: a user that slept half of its second when the run was paused sleeps
the other half when it goes on.
"""

from __future__ import annotations

from collections.abc import Callable

from gevent import get_hub, getcurrent
from greenlet import greenlet

from amoc.timing import S_NS, now_ns

__all__ = ["frozen_ns", "hold", "paused", "release", "wait", "wait_resumed"]


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


def wait_resumed() -> None:
    """Wait while the run is paused; returns at once when it is not."""
    while _pause.since_ns:
        me, hub = getcurrent(), get_hub()
        if me is hub:
            return
        parked = _pause.parked
        parked[me] = None
        try:
            hub.switch()
        finally:
            parked.pop(me, None)


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
        if part(left_s):
            return True
        wait_resumed()
        froze_ns = frozen_ns() - frozen_before_ns
        if not froze_ns:
            return False
        left_s = seconds - (now_ns() - begun_ns - froze_ns) / S_NS
        if left_s <= 0:
            return False
