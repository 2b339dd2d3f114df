"""Timers of the event loop that call back once."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from gevent._types import _Loop, _TimerWatcher


def call_later(
    loop: _Loop, seconds: float, callback: Callable[[], object], *, ref: bool = True
) -> _TimerWatcher:
    """Let `loop` call `callback` once, `seconds` from now; at its next turn if that is below 0.

    Args:
        loop: The caller's, of `get_hub`.
        seconds: In how many seconds.
        callback: What is called, in the hub.
        ref: Whether the loop runs on for it.

    Returns:
        The timer, for the caller to close.
    """
    timer = loop.timer(max(seconds, 0.0), ref=ref)
    # By itself gevent counts from the beginning of the loop's turn: who has worked for long within
    # one would be called early, or at once.
    timer.start(callback, update=True)
    return timer
