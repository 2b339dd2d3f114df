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


def counter(coordinator: str, what: Counted) -> Count:
    """A counter of a coordinator, or one that counts nothing where there is no room for it."""
    return optional.counter(f"{reserved.COORDINATOR}{coordinator}.{what}")


def barriers(what: Barriers) -> Count:
    """A counter of all barriers."""
    return optional.counter(f"{reserved.BARRIERS}{what}", kept_free=0)
