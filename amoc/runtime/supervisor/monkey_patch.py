"""Monkey-patching of a process before the scenario is imported, and making it forkable afterwards.

The scenario must find patched modules, or its blocking calls would stop every user of the worker.
Patching itself starts nothing. But importing a library or running init() may create a gevent hub,
and a hub must not be forked: its event loop and its threads would be shared with the child.

The modules that patching and the first hub need are imported with this one already, so that the
processes of a run share them: an import writes to many memory pages inherited from the parent. Only
`ssl` must not be imported before patching.
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

    fork, waitpid and signals are left alone: the supervisor depends on them.
    """
    config.track_greenlet_tree = False  # doubles the user starts per second; the tree is not used
    events: Any = import_module("gevent.events")  # Any: the stubs lack what is replaced

    def notify(event: Any) -> None:  # Any: gevent has no class of all events
        events.notify(event)
        for target in entry_points.targets(event.ENTRY_POINT_NAME):
            resolve_name(target)(event)

    gevents_own = events.notify_and_call_entry_points
    # The original parses the entry points of all installed packages at each of some twenty steps.
    events.notify_and_call_entry_points = notify
    try:
        monkey.patch_all(os=False, signal=False)
    finally:
        events.notify_and_call_entry_points = gevents_own


def drop_hub(deadline_s: float = 2.0) -> int:
    """Destroy this process's hub and its threads, if it has one.

    Returns:
        The number of remaining other threads; forking with any is unsafe.
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
