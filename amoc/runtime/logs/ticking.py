"""What lets the log of a process with an event loop write what it has held for long enough."""

from __future__ import annotations

import gevent

from amoc.runtime import logs

TICK_S = 1.0


def tick_for_ever() -> None:
    """Look each second whether the log has something to write; to be a greenlet of its own."""
    while True:
        gevent.sleep(TICK_S)
        logs.tick()
