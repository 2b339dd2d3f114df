"""One-shot timers of the event loop."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

from amoc.base.clock import check_time

if TYPE_CHECKING:
    from gevent._types import _Loop, _TimerWatcher


def call_later(
    loop: _Loop, seconds: float, callback: Callable[[], object], *, ref: bool = True
) -> _TimerWatcher:
    """Call `callback` once, `seconds` from now; at the loop's next turn if that is negative.

    Args:
        loop: The caller's loop, that of `get_hub`.
        seconds: The delay.
        callback: The function, called in the hub.
        ref: Whether the timer keeps the loop running.

    Returns:
        The timer, for the caller to close.

    Raises:
        ScenarioError: `seconds` is not a number. All time limits of waits come through here.
    """
    check_time(seconds)
    timer = loop.timer(max(seconds, 0.0), ref=ref)
    # Update the loop's time: by default gevent counts from the start of the loop's turn, so after
    # long work in that turn the timer would fire early, or at once.
    timer.start(callback, update=True)
    return timer
