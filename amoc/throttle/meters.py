"""What is counted of each throttle.

A board has room for the metrics of some 1,900 throttles. Further ones work, but are not counted
(`amoc.dispensable`).
"""

from __future__ import annotations

from typing import NamedTuple

from amoc import dispensable
from amoc.board import THROTTLE
from amoc.dispensable import Count, Level

__all__ = ["Meters", "meters_of"]


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


def meters_of(name: str) -> Meters:
    """The meters of throttle `name`; ones that count nothing where the board is full."""
    begin = f"{THROTTLE}{name}"
    return Meters(
        dispensable.counter(f"{begin}.requests"),
        dispensable.counter(f"{begin}.executions"),
        dispensable.counter(f"{begin}.missed"),
        dispensable.gauge(f"{begin}.waiting"),
    )
