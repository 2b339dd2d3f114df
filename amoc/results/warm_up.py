"""The beginning of a run that its verdict leaves out. Pure."""

from __future__ import annotations

from dataclasses import dataclass

from amoc.results.series import Point

_ROUNDING_S = 1e-6


@dataclass
class WarmUp:
    """The beginning of a run that its verdict leaves out, with the second in which it ends.

    Attributes:
        left_s: How much of it is left. Time in which the run is paused does not count.
    """

    left_s: float = 0.0

    @property
    def over(self) -> bool:
        """Whether the next point comes after it."""
        return self.left_s <= _ROUNDING_S

    def take(self, point: Point) -> bool:
        """Take the next point of the run; whether it belongs to the warm-up."""
        warm = not self.over
        self.left_s -= point.active_s
        return warm
