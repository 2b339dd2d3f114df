"""What is counted of coordinators and barriers.

Each coordinator has counters of its own, ``coordinator.NAME.adds`` and so on. They are metrics like
those of a scenario, and are summed up, exported and compared as those are.
"""

from __future__ import annotations

from enum import StrEnum

from amoc.coordinator.plan import RESET, STOP, TIMEOUT
from amoc.metrics import optional, reserved
from amoc.metrics.coordinator_counts import Counted
from amoc.metrics.optional import Count

OF_EVENT = {TIMEOUT: Counted.TIMEOUTS, RESET: Counted.RESETS, STOP: Counted.STOPS}
"""What counts the events that made actions run for users whose group was not complete."""


class Barriers(StrEnum):
    """What is counted of all barriers together, for there may be one for each pair of users."""

    RELEASED = "released"
    """Users that were released."""
    TIMEOUTS = "timeouts"
    """Users that gave up."""


class Counters:
    """Those of one coordinator, each made when it is first needed.

    One that there is no room for counts nothing.
    """

    __slots__ = ("_made", "_name")

    def __init__(self, name: str) -> None:
        self._name = name
        self._made: dict[Counted, Count] = {}

    def __getitem__(self, what: Counted) -> Count:
        made = self._made.get(what)
        if made is None:
            made = optional.counter(f"{reserved.COORDINATOR}{self._name}.{what}")
            self._made[what] = made
        return made


def barriers(what: Barriers) -> Count:
    """A counter of all barriers."""
    return optional.counter(f"{reserved.BARRIERS}{what}", kept_free=0)
