"""Bounds of settings, to give as ``verify=``. Pure."""

from __future__ import annotations

from collections.abc import Callable


def at_least(least: float) -> Callable[[float], None]:
    """Refuses what is below `least`, and what is no number."""

    def check(value: float) -> None:
        if not value >= least:
            raise ValueError(f"must be at least {least:g}")

    return check


def between(least: float, most: float, said: str = "") -> Callable[[float], None]:
    """Refuses what is below `least` or above `most`, which the error has as `said`."""

    def check(value: float) -> None:
        if not least <= value <= most:
            raise ValueError(f"must be {said or f'from {least} to {most}'}")

    return check
