"""Waiting for something that does not tell when it happens."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import TypeVar

from amoc.base.clock import S_NS, now_ns

T = TypeVar("T")


def poll(
    look: Callable[[], T],
    timeout_s: float,
    interval_s: float,
    sleep: Callable[[float], object] | None = None,
) -> T:
    """Call `look` until its result counts as true or the time is over. Return the last result.

    A process with an event loop passes ``gevent.sleep``, so that the loop goes on meanwhile; the
    default is ``time.sleep``.
    """
    give_up_ns = now_ns() + int(timeout_s * S_NS)
    while not (found := look()) and now_ns() < give_up_ns:
        (sleep or time.sleep)(interval_s)
    return found
