"""Metrics that a run can do without: those named after throttles and coordinators.

A scenario may make any number of them, and a board has room for 8,000 metrics. These take no more
than leaves `KEPT_FREE` for others, for amoc's own and the scenario's. Further ones count nothing,
and that is said once in each worker: a limit that is met in the middle of a run, in the event loop
maybe, must not end its workers.
"""

from __future__ import annotations

import sys
from contextlib import suppress
from typing import Protocol, TypeVar

from amoc import metrics
from amoc.base.errors import ScenarioError

__all__ = ["Count", "Level", "counter", "gauge"]

KEPT_FREE = 500


class Count(Protocol):
    """What counts events."""

    def inc(self, n: int = 1, /) -> None:
        """Count `n` more."""


class Level(Protocol):
    """What shows a figure."""

    def set(self, value: float, /) -> None:
        """Show `value`."""


class _Nothing:
    """Counts and shows nothing."""

    def inc(self, n: int = 1, /) -> None:
        """Count nothing."""

    def set(self, value: float, /) -> None:
        """Show nothing."""


NOTHING = _Nothing()
_M = TypeVar("_M", metrics.Counter, metrics.Gauge)
_said = False


def counter(name: str, kept_free: int = KEPT_FREE) -> Count:
    """The counter called `name`, or one that counts nothing where there is no room.

    Args:
        name: The metric's.
        kept_free: For how many others there must be room; 0 for one of a few.
    """
    return _made(metrics.Counter, name, kept_free) or NOTHING


def gauge(name: str) -> Level:
    """The gauge called `name`, or one that shows nothing where there is no room."""
    return _made(metrics.Gauge, name, KEPT_FREE) or NOTHING


def _made(kind: type[_M], name: str, kept_free: int) -> _M | None:
    try:
        if metrics.fits(name, kept_free):
            return metrics.built_in(kind, name)
        why = f"a worker has no room for metric {name!r}; is there a user id in the name?"
    except ScenarioError as error:  # the scenario has another kind of metric of that name
        why = str(error)
    _say(why)
    return None


def _say(why: str) -> None:
    global _said
    if not _said:
        _said = True
        with suppress(OSError):
            print(f"not all throttles or coordinators are counted: {why}", file=sys.stderr)
