"""Whether users rested for most of the run, so that the load was lower than it seemed. Pure."""

from __future__ import annotations

from amoc.results.series import Point

MAX_SHARE = 0.5
"""Share of the users' time between iterations above which that is noted."""


class Rest:
    """Sums how long users ran, and how much of that they rested between iterations."""

    def __init__(self) -> None:
        self._ran_s = self._rested_s = 0.0

    def take(self, point: Point) -> None:
        """Take the next second of the run; users are counted at its end."""
        self._ran_s += point.active_s * point.users.get("running", 0)
        self._rested_s += point.active_s * point.users.get("resting", 0)

    def notes(self) -> list[str]:
        """Return a sentence if they rested for more than half of the time."""
        if self._rested_s <= MAX_SHARE * self._ran_s:
            return []
        share = self._rested_s / self._ran_s
        note = (
            f"users rested between iterations for {share:.0%} of the time (repeat_interval, or"
            " crash_pause after a crash); loop in start(), or change that setting"
        )
        return [note]
