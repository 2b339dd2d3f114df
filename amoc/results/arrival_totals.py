"""The outcome of an arrival rate: iterations that started, and those that were dropped. Pure."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

from amoc.base.text import counted
from amoc.metrics.reserved import ARRIVALS, DROPPED
from amoc.results.series import Point
from amoc.scenario.arrivals import ARRIVAL_RATE, Arrivals


def with_dropped(point: Point, untaken: int) -> Point:
    """Return `point` with all iterations dropped in that second in the counter.

    Args:
        point: The second.
        untaken: Slots for which no user was free in time, or whose worker was lost.
    """
    one = point.throttles.get(ARRIVAL_RATE)
    dropped = point.counters.get(DROPPED, 0) + untaken + (one.missed if one is not None else 0)
    return replace(point, counters={**point.counters, DROPPED: dropped}) if dropped else point


def share(counters: Mapping[str, int]) -> float:
    """Return the share of the due iterations that were dropped."""
    dropped = counters.get(DROPPED, 0)
    return dropped / (dropped + counters.get(ARRIVALS, 0)) if dropped else 0.0


class ArrivalTotals:
    """Tracks how many of the users were busy, to explain why iterations were dropped."""

    def __init__(self, arrivals: Arrivals | None, others: int = 0) -> None:
        """Track the users of `arrivals`, besides which there are this many others."""
        self.arrivals = arrivals
        self._most = -others
        self._others = others

    def take(self, point: Point) -> None:
        """Take the next second of the run."""
        self._most = max(self._most, point.users.get("peak", 0) - self._others)

    def notes(self, counters: Mapping[str, int]) -> list[str]:
        """Return a sentence if iterations were dropped; `counters` are those of the window."""
        dropped = counters.get(DROPPED, 0)
        if self.arrivals is None or not dropped:
            return []
        wanted, most = dropped + counters.get(ARRIVALS, 0), self.arrivals.max_users
        text = f"{dropped:,} of {wanted:,} iterations were dropped ({share(counters):.2%})"
        if self._most >= most and counters.get(ARRIVALS, 0) <= self._most:
            why = (
                f"none of {counted(most, 'user')} finished an iteration; either start() does not"
                " return after each one, or the target does not answer"
            )
        elif self._most >= most:
            why = (
                f"no user was free in time, all {most:,} were busy; raise --max-users, unless the"
                " target is too slow for this rate"
            )
        else:
            why = "workers were missing or too late for their slots"
        return [f"{text}: {why}"]
