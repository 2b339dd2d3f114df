"""Tuning of Python's garbage collector."""

from __future__ import annotations

import gc


def collect_rarely() -> None:
    """Run it only after many new objects, since most objects live long and few form cycles.

    Otherwise it would scan modules again and again while they load, and users while they wait.
    """
    gc.set_threshold(50_000, 20, 50)
