"""Which runs are kept. Pure."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TypeVar

T = TypeVar("T")


def surplus(
    runs: Sequence[T], days: Sequence[float], keep: int | None, keep_days: float | None
) -> list[T]:
    """Those of `runs` that are not to be kept.

    Args:
        runs: Runs that are over, the newest first.
        days: How old each is.
        keep: How many are kept at most; None means all.
        keep_days: How old one may become; None means any age.
    """
    return [
        one
        for place, (one, age) in enumerate(zip(runs, days, strict=True))
        if (keep is not None and place >= keep) or (keep_days is not None and age > keep_days)
    ]
