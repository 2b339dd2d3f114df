"""NumPy is loaded when there are so many timers that it pays, and then beside the loop.

It takes 15 MB and a tenth of a second, so a process of a run that does not need it goes without
(`amoc.metrics.vectors`). Workers never load it.
"""

from __future__ import annotations

import os
from importlib import import_module
from typing import TYPE_CHECKING, Any

from amoc.metrics import vectors

if TYPE_CHECKING:
    import gevent

WORTH_CELLS = 4_000
"""Cells of timers that grow in a second: from here on NumPy is faster by more than it costs."""
LARGE_BYTES = 4_000_000
"""The same for a run's series that is read back."""
_THREADS = "OPENBLAS_NUM_THREADS"

_loading: gevent.Greenlet[..., None] | None = None


def load_for(cells: int) -> None:
    """So many cells of timers have grown in a second: load NumPy if that is worth it."""
    if cells >= WORTH_CELLS:
        load_beside()


def load_beside() -> None:
    """Load NumPy, and let the loop turn meanwhile."""
    global _loading
    import gevent  # what reads a run has none

    if _loading is None:
        _loading = gevent.spawn(_load)


def load_now() -> None:
    """Load NumPy: a long run is to be read, in a process that does nothing else."""
    vectors.use(_imported())


def _load() -> None:
    import gevent

    vectors.use(gevent.get_hub().threadpool.apply(_imported))


def _imported() -> Any:
    # Linear algebra, which nobody needs here, would start a thread for each core.
    before = os.environ.get(_THREADS)
    os.environ[_THREADS] = "1"
    try:
        return import_module("numpy")
    finally:
        if before is None:
            del os.environ[_THREADS]
        else:
            os.environ[_THREADS] = before
