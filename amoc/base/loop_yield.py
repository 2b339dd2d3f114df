"""Ways to run many calls in the event loop without blocking it for long."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from typing import TYPE_CHECKING

from gevent import get_hub

from amoc.base.clock import MS_NS, now_ns
from amoc.base.waiting import Waiter

if TYPE_CHECKING:
    from gevent._types import _TimerWatcher

HOLD_NS = MS_NS
"""How long a batch of calls may block the loop."""


def yield_to_loop() -> None:
    """Suspend the calling greenlet until the loop has polled its timers and sockets once.

    ``gevent.sleep(0)`` polls them only once in fifty calls. For use by one greenlet at a time:
    greenlets that yield together all resume in the same turn of the loop.
    """
    Waiter[None]().park(0.0)


def call_in_batches(calls: Iterable[Callable[[], object]]) -> None:
    """Have the hub make `calls` in order, starting with its next turn.

    Costs half as much as a loop callback for each call. If one raises, the rest are still made.
    """
    get_hub().loop.run_callback(_run_batch, iter(calls))


def _run_batch(calls: Iterator[Callable[[], object]], timer: _TimerWatcher | None = None) -> None:
    if timer is not None:
        timer.close()
    until_ns = now_ns() + HOLD_NS
    is_done = False
    try:
        for call in calls:
            call()
            if now_ns() >= until_ns:
                return
        is_done = True
    finally:
        if not is_done:
            # Not a callback: gevent runs fifty of those before it polls timers and sockets.
            timer = get_hub().loop.timer(0)
            timer.start(_run_batch, calls, timer)
