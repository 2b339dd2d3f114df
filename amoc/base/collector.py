"""When Python's collector looks for cycles."""

from __future__ import annotations

import gc


def collect_rarely() -> None:
    """Have it look after many new objects only: most of ours live long, and few hold cycles.

    It would look again and again at modules while they are loaded, and at users that rest.
    """
    gc.set_threshold(50_000, 20, 50)
