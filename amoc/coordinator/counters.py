"""Counters of coordinators and barriers.

Each coordinator has its own counters, ``coordinator.NAME.adds`` and so on. They are metrics like
those of a scenario, and are aggregated, exported and compared in the same way.
"""

from __future__ import annotations

from enum import StrEnum

from amoc.coordinator.plan import RESET, STOP, TIMEOUT
from amoc.metrics import optional, reserved
from amoc.metrics.coordinator_counts import Counted
from amoc.metrics.optional import Count

OF_EVENT = {TIMEOUT: Counted.TIMEOUTS, RESET: Counted.RESETS, STOP: Counted.STOPS}
"""Counters of the events that ran actions for users in incomplete groups."""


class Barriers(StrEnum):
    """Counters of all barriers together, as there may be a barrier for each pair of users."""

    RELEASED = "released"
    """Users that were released."""
    TIMEOUTS = "timeouts"
    """Users that gave up."""


class Counters(dict[Counted, Count]):
    """The counters of one coordinator, each created when first needed.

    A counter for which the board has no room counts nothing.
    """

    __slots__ = ("_name",)

    def __init__(self, name: str) -> None:
        self._name = name

    def __missing__(self, what: Counted) -> Count:
        made = self[what] = optional.counter(f"{reserved.COORDINATOR}{self._name}.{what}")
        return made


def barriers(what: Barriers) -> Count:
    """Return a counter of all barriers."""
    return optional.counter(f"{reserved.BARRIERS}{what}", kept_free=0)
