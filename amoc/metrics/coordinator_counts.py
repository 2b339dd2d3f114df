"""What is counted of each coordinator: the one place that declares it. Pure."""

from __future__ import annotations

from enum import StrEnum


class Counted(StrEnum):
    """What is counted of each coordinator: how the names of its counters end."""

    ADDS = "adds"
    """Users added."""
    ADDS_REFUSED = "adds_refused"
    """Adds that could not leave their worker."""
    GROUPS = "groups"
    """Groups whose actions were run."""
    TIMEOUTS = "timeouts"
    RESETS = "resets"
    STOPS = "stops"
    ACTION_ERRORS = "action_errors"
    """Actions that raised."""
