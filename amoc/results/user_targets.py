"""Were there as many users as the stages of the run wanted? Pure."""

from __future__ import annotations

from amoc.base.clock import S_NS, format_duration
from amoc.base.text import counted
from amoc.results.series import Point
from amoc.scenario.load_profile import Stages

AROUND_S = 1.2
"""Users are counted once a second: so far from a stage's end a count may be."""
ENOUGH = 0.98
"""Share of a stage's target that counts as reached, if no more than one user is lacking."""


class StageTargets:
    """Compares the users that ran at the end of each stage with its target."""

    def __init__(self, stages: Stages | None) -> None:
        self._legs = [leg for leg in stages.legs() if leg.target > 0] if stages else []
        self._most: dict[int, int] = {}
        self._ran_s = 0.0

    def take(self, point: Point) -> None:
        """Look at the next second of the run."""
        self._ran_s += point.active_s
        if not point.active_s:
            return
        running = point.users.get("running", 0)
        for number, leg in enumerate(self._legs):
            if abs(self._ran_s - leg.end_ns / S_NS) <= AROUND_S:
                self._most[number] = max(running, self._most.get(number, 0))

    def notes(self) -> list[str]:
        """A sentence for each stage that has ended and whose target was missed."""
        return [
            f"the stage that ends after {format_duration(leg.end_ns / S_NS)} had"
            f" {counted(most, 'user')} of {float(leg.target):,.0f}"
            for number, leg in enumerate(self._legs)
            if (most := self._most.get(number)) is not None
            and self._ran_s >= leg.end_ns / S_NS - AROUND_S
            and most < min(ENOUGH * float(leg.target), float(leg.target) - 1)
        ]
