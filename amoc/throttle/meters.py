"""What is counted of each throttle.

A board has room for the metrics of some 1,900 throttles. Further ones work, but are not counted,
and that is said once: a limit that is met in the middle of a run must not end its workers.
"""

from __future__ import annotations

import sys
from typing import NamedTuple, Protocol

from amoc import metrics
from amoc.errors import ScenarioError

__all__ = ["Meters", "meters_of"]


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


class Meters(NamedTuple):
    """What is counted of a throttle in this worker."""

    requests: Count
    """How often somebody came."""
    executions: Count
    """How often somebody was let through."""
    missed: Count
    """Slots that came too late to be used."""
    waiting: Level
    """Who waits now."""


_said = False


def meters_of(name: str) -> Meters:
    """The meters of throttle `name`; ones that count nothing where the board is full."""
    global _said
    try:
        return Meters(
            metrics.counter(f"throttle.{name}.requests"),
            metrics.counter(f"throttle.{name}.executions"),
            metrics.counter(f"throttle.{name}.missed"),
            metrics.gauge(f"throttle.{name}.waiting"),
        )
    except ScenarioError as error:
        if not _said:
            _said = True
            print(f"throttle {name}, and maybe others, are not counted: {error}", file=sys.stderr)
        nothing = _Nothing()
        return Meters(nothing, nothing, nothing, nothing)
