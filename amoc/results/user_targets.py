"""Whether a run had as many users as its stages asked for. Pure."""

from __future__ import annotations

from amoc.base.clock import S_NS, format_duration
from amoc.results.series import Point
from amoc.scenario.load_profile import Stages

BEFORE_S, AFTER_S = 0.5, 1.2
"""Users are counted once a second, so a count may be this far before or after a stage's end."""
LATE_S = 0.5
"""How far users may lag behind a stage."""
SHORT_S = 0.2
"""The time at the end of the stages that a completed run may miss."""
ENOUGH = 0.98
"""The share of a stage's target that counts as reached; a shortfall of one user always does."""


class StageTargets:
    """Compares the users running at the end of each stage with its target."""

    def __init__(self, stages: Stages | None) -> None:
        self._stages = stages
        self._legs = [leg for leg in stages.legs() if leg.target > 0] if stages else []
        self._most: dict[int, int] = {}
        self._reached: set[int] = set()
        self._ran_s = 0.0
        self._running = 0

    def take(self, point: Point) -> None:
        """Take the next second of the run."""
        self._ran_s += point.active_s
        if not point.active_s or self._stages is None:
            return
        # In the run's last second users are leaving, so use the count of the second before.
        running = point.users.get("running", 0) if point.state == "running" else self._running
        self._running = running
        for number, leg in enumerate(self._legs):
            if -BEFORE_S <= self._ran_s - leg.end_ns / S_NS <= AFTER_S:
                self._most[number] = max(running, self._most.get(number, 0))
                # A count may miss a peak, so compare it with the stages at the time of the count.
                wanted = min(
                    self._stages.value_at(max(0.0, at_s))
                    for at_s in (self._ran_s, self._ran_s - LATE_S)
                )
                if running >= min(ENOUGH * wanted, wanted - 1):
                    self._reached.add(number)

    def notes(self) -> list[str]:
        """Return a sentence for each stage that has ended without reaching its target."""
        return [
            f"the stage ending at {format_duration(leg.end_ns / S_NS)} reached"
            f" {most:,} of {float(leg.target):,.0f} users"
            for number, leg in enumerate(self._legs)
            if (most := self._most.get(number)) is not None
            and self._ran_s >= leg.end_ns / S_NS - SHORT_S
            and number not in self._reached
        ]
