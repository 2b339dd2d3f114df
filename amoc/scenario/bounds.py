"""Bounds of settings, for use as ``verify=``. Pure."""

from __future__ import annotations

from collections.abc import Callable


def at_least(least: float) -> Callable[[float], None]:
    """Return a check that rejects values below `least` and NaN."""

    def check(value: float) -> None:
        if not value >= least:
            raise ValueError(f"must be at least {least:g}")

    return check


def between(least: float, most: float, range_text: str = "") -> Callable[[float], None]:
    """Return a check that rejects values outside `least` to `most`; errors use `range_text`."""

    def check(value: float) -> None:
        if not least <= value <= most:
            raise ValueError(f"must be {range_text or f'from {least} to {most}'}")

    return check
