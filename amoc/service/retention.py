"""Retention limits: which runs to keep. Pure."""

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
    """Return those of `runs` that exceed the limits.

    Args:
        runs: Ended runs, newest first.
        days: Age of each in days.
        keep: Maximum number to keep; None for all.
        keep_days: Maximum age; None for no limit.
    """
    return [
        one
        for place, (one, age) in enumerate(zip(runs, days, strict=True))
        if (keep is not None and place >= keep) or (keep_days is not None and age > keep_days)
    ]


def next_look_s(days: Sequence[float], keep_days: float | None) -> float:
    """Return the time until the next run becomes too old, at most an hour.

    Args:
        days: Ages of ended runs in days.
        keep_days: As for `surplus`.
    """
    left_s = [
        (keep_days - age) * DAY_S for age in days if keep_days is not None and age <= keep_days
    ]
    return min(max(SHORTEST_S, min(left_s, default=LONGEST_S)), LONGEST_S)
