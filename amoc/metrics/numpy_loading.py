"""Loads NumPy once there are enough timers for it to pay off, without stalling the event loop.

It takes 15 MB and a tenth of a second, so a process that does not need it goes without
(`amoc.metrics.vectors`). Workers never load it.
"""

from __future__ import annotations

import os
import sys
import threading
from importlib import import_module
from types import ModuleType
from typing import TYPE_CHECKING

from amoc.metrics import vectors

if TYPE_CHECKING:
    import gevent

WORTH_CELLS = 4_000
"""Growing cells of timers per second from which on NumPy saves more than it costs."""
LARGE_BYTES = 4_000_000
"""The same for a run's series that is read back, in bytes."""
MAX_WAIT_S = 5.0
"""Longest time that work waits for NumPy before it goes on without."""
SWITCH_S = 0.001
"""How long the thread that loads it may keep the interpreter from the event loop."""
_THREADS = "OPENBLAS_NUM_THREADS"

_loading: gevent.Greenlet[..., None] | None = None


def load_for(cells: int) -> None:
    """Load NumPy if it is worth it for this many growing cells of timers per second.

    The calling greenlet waits for it, since processing as many cells in plain Python would hold up
    the event loop for longer than loading does.
    """
    if cells >= WORTH_CELLS and _loading is None:
        load_beside().join(MAX_WAIT_S)


def load_beside() -> gevent.Greenlet[..., None]:
    """Load NumPy in a thread, while the event loop runs; return the greenlet that awaits it."""
    global _loading
    import gevent  # not loaded by processes that only read a run

    if _loading is None:
        _loading = gevent.spawn(_load)
    return _loading


def load_now() -> None:
    """Load NumPy right now, to read a long run in a process that does nothing else."""
    vectors.use(_imported())


def _load() -> None:
    import gevent

    from amoc.base.waiting import Notify

    found: list[ModuleType | Exception] = []
    done, loaded = gevent.get_hub().loop.async_(), Notify()
    done.start(loaded.ring)

    def load() -> None:
        try:
            found.append(_imported())
        except Exception as error:
            found.append(error)
        done.send()

    before = sys.getswitchinterval()
    sys.setswitchinterval(SWITCH_S)
    try:
        # gevent's pool of threads takes 25 ms to import, during which the loop would stand still.
        threading.Thread(target=load, daemon=True).start()
        loaded.wait()
    finally:
        sys.setswitchinterval(before)
        done.close()
    if isinstance(found[0], Exception):
        raise found[0]
    vectors.use(found[0])


def _imported() -> ModuleType:
    # Linear algebra, which is not needed here, would start a thread for each core.
    before = os.environ.get(_THREADS)
    os.environ[_THREADS] = "1"
    try:
        return import_module("numpy")
    finally:
        if before is None:
            del os.environ[_THREADS]
        else:
            os.environ[_THREADS] = before
