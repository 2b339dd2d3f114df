"""Many calls in the event loop, one after the other, without holding it for long."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator

from gevent import get_hub

from amoc.base.clock import MS_NS, now_ns

HOLD_NS = MS_NS
"""After so long the loop turns before the calls go on."""


def call_in_turns(calls: Iterable[Callable[[], object]]) -> None:
    """Have the hub make `calls` in this order, from its next turn on.

    As a callback of the loop for each would, at half the cost; one that raises does not keep the
    others from being made.
    """
    get_hub().loop.run_callback(_go_on, iter(calls))


def _go_on(left: Iterator[Callable[[], object]]) -> None:
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
            get_hub().loop.run_callback(_go_on, left)
