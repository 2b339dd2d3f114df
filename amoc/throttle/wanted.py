"""How many users a throttle's rate should have let through. Pure."""

from __future__ import annotations

from collections.abc import Reversible
from math import inf

from amoc.throttle.profiles import integral
from amoc.throttle.slot_schedule import Change, Mode


class Wanted:
    """The integral of the rate in force since it was last taken."""

    def __init__(self, now_ns: int) -> None:
        """Begin at `now_ns`."""
        self._sum, self._until_ns = 0.0, now_ns

    def add(self, changes: Reversible[Change], now_ns: int) -> None:
        """Add what should have passed up to `now_ns`.

        Args:
            changes: The throttle's changes, oldest first, back to the last call or further.
            now_ns: The time.
        """
        if now_ns <= self._until_ns:
            return
        until_ns = now_ns
        for change in reversed(changes):
            begin_ns, end_ns = max(change.from_ns, self._until_ns), until_ns
            until_ns = min(change.from_ns, now_ns)
            if begin_ns >= end_ns:
                continue
            if change.mode is Mode.OPEN or not change.interval_ns:
                self._sum = inf
            elif change.mode is Mode.RUN:
                origin_ns = change.origin_ns
                since_ns = max(0, begin_ns - origin_ns)
                summed = integral(change.profile, since_ns, end_ns - origin_ns)
                self._sum += summed / change.interval_ns
        self._until_ns = now_ns

    def take(self) -> float | None:
        """Return, and reset, the sum; None if the rate was unlimited at some time."""
        found, self._sum = self._sum, 0.0
        return found if found < inf else None
