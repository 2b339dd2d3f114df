"""Making a process cooperative before the scenario is imported, and forkable after it was.

The scenario must find patched modules, or its blocking calls would stop every user of the worker.
Patching itself starts nothing. But importing a library or running init() may bring a gevent hub to
life, and a hub must not be forked: its loop and its threads would be shared with the child.

What patching loads, and the first hub, is loaded with this module already, so that the processes of
a run share it: to load a module writes here and there to memory that a process has from its parent.
Only `ssl` must not be loaded before it is patched.
"""

from __future__ import annotations

import os
import time
from importlib import import_module
from pathlib import Path
from pkgutil import resolve_name
from typing import Any

from gevent import config, monkey

from amoc.base import entry_points

for _needed in (
    "concurrent.futures.thread",
    "gevent.events",
    "gevent.queue",
    "gevent.select",
    "gevent.selectors",
    "gevent.subprocess",
    "gevent.threading",
    "gevent.time",
    "pprint",
):
    import_module(_needed)


def patch() -> None:
    """Make blocking calls of the standard library cooperative.

    fork, waitpid and signals stay what they are: the supervisor lives by them.
    """
    config.track_greenlet_tree = (
        False  # twice the user starts per second, and nobody asks for the tree
    )
    events: Any = import_module("gevent.events")

    def notify(event: Any) -> None:
        events.notify(event)
        for target in entry_points.targets(event.ENTRY_POINT_NAME):
            resolve_name(target)(event)

    gevents_own = events.notify_and_call_entry_points
    # That one parses what all installed packages declare, at each of some twenty steps.
    events.notify_and_call_entry_points = notify
    try:
        monkey.patch_all(os=False, signal=False)
    finally:
        events.notify_and_call_entry_points = gevents_own


def drop_hub(deadline_s: float = 2.0) -> int:
    """End this process's hub and its threads, if it has one.

    Returns:
        How many other threads are still there; forking with any is a gamble.
    """
    from gevent._hub_local import get_hub_if_exists

    hub = get_hub_if_exists()
    if hub is not None:
        hub.destroy(destroy_loop=True)
    give_up = time.monotonic() + deadline_s
    while (
        others := len(list(Path("/proc/self/task").iterdir())) - 1
    ) and time.monotonic() < give_up:
        os.sched_yield()
    return others
