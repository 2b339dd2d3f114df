"""Loads NumPy once there are enough timers for it to pay off, without stalling the event loop.

It takes 15 MB and a tenth of a second, so a process that does not need it goes without
(`amoc.metrics.vectors`). Workers never load it.
"""

from __future__ import annotations

import os
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
_THREADS = "OPENBLAS_NUM_THREADS"

_loading: gevent.Greenlet[..., None] | None = None


def load_for(cells: int) -> None:
    """Load NumPy if it is worth it for this many growing cells of timers per second."""
    if cells >= WORTH_CELLS:
        load_beside()


def load_beside() -> None:
    """Load NumPy in a thread, while the event loop runs."""
    global _loading
    import gevent  # not loaded by processes that only read a run

    if _loading is None:
        _loading = gevent.spawn(_load)


def load_now() -> None:
    """Load NumPy right now, to read a long run in a process that does nothing else."""
    vectors.use(_imported())


def _load() -> None:
    import gevent

    vectors.use(gevent.get_hub().threadpool.apply(_imported))


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
