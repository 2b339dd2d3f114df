"""What is counted of each throttle.

A board has room for the metrics of some 1,900 throttles. Further ones work, but are not counted
(`amoc.metrics.optional`).
"""

from __future__ import annotations

from typing import NamedTuple

from amoc.metrics import optional
from amoc.metrics.board import THROTTLE
from amoc.metrics.optional import Count, Level

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
        optional.counter(f"{begin}.requests"),
        optional.counter(f"{begin}.executions"),
        optional.counter(f"{begin}.missed"),
        optional.gauge(f"{begin}.waiting"),
    )
