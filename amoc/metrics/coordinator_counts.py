"""The counters of each coordinator: the only place that declares them. Pure."""

from __future__ import annotations

from enum import StrEnum


class Counted(StrEnum):
    """The counters of each coordinator: suffixes of their names."""

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
