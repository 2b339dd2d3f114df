"""Which runs are kept. Pure."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TypeVar

T = TypeVar("T")
DAY_S = 86_400.0
LONGEST_S = 3_600.0
SHORTEST_S = 1.0


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


def next_look_s(days: Sequence[float], keep_days: float | None) -> float:
    """How long until one more run is too old, as far as that is not more than an hour.

    Args:
        days: How old each run is that is over.
        keep_days: As in `surplus`.
    """
    left_s = [
        (keep_days - age) * DAY_S for age in days if keep_days is not None and age <= keep_days
    ]
    return min(max(SHORTEST_S, min(left_s, default=LONGEST_S)), LONGEST_S)
