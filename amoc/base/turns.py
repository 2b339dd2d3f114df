"""Many calls in the event loop, one after the other, without holding it for long."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from typing import Any

from gevent import get_hub

from amoc.base.clock import MS_NS, now_ns
from amoc.base.waiting import Waiter

HOLD_NS = MS_NS
"""After so long the loop turns before the calls go on."""


def let_turn() -> None:
    """Let the loop look at its timers and sockets once before the calling greenlet goes on.

    With ``gevent.sleep(0)`` it would do so only after fifty such calls. For one greenlet at a time:
    all that wait here at once go on in the same turn.
    """
    Waiter[None]().park(0.0)


def call_in_turns(calls: Iterable[Callable[[], object]]) -> None:
    """Have the hub make `calls` in this order, from its next turn on.

    As a callback of the loop for each would, at half the cost; one that raises does not keep the
    others from being made.
    """
    get_hub().loop.run_callback(_go_on, iter(calls))


def _go_on(left: Iterator[Callable[[], object]], timer: Any = None) -> None:
    if timer is not None:
        timer.close()
    until_ns = now_ns() + HOLD_NS
    is_done = False
    try:
        for call in left:
            call()
            if now_ns() >= until_ns:
                return
        is_done = True
    finally:
        if not is_done:
            # No callback: gevent makes fifty of these before it looks at timers and sockets.
            timer = get_hub().loop.timer(0)
            timer.start(_go_on, left, timer)
