"""The warm-up: the start of a run, which its verdict leaves out. Pure."""

from __future__ import annotations

from dataclasses import dataclass

from amoc.results.series import Point

_ROUNDING_S = 1e-6


@dataclass
class WarmUp:
    """The warm-up of a run, up to and including the second in which it ends.

    Attributes:
        left_s: The time left. Time in which the run is paused does not count.
    """

    left_s: float = 0.0

    @property
    def over(self) -> bool:
        """Whether the next point follows the warm-up."""
        return self.left_s <= _ROUNDING_S

    def take(self, point: Point) -> bool:
        """Take the next point of the run; return whether it belongs to the warm-up."""
        warm = not self.over
        self.left_s -= point.active_s
        return warm
