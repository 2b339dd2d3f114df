"""The arrival rate of a run: a throttle at whose slots workers start iterations.

Its slots start a moment after users may start, when all workers are in its queue, and end a moment
before users are stopped. So each slot is either used or dropped, and their number is known exactly.
"""

from __future__ import annotations

from amoc.base import pause
from amoc.base.clock import MS_NS, S_NS
from amoc.ipc.rpc import Later
from amoc.scenario.arrivals import ARRIVAL_RATE, Arrivals
from amoc.throttle.controller import Pacer

EARLY_NS = 80 * MS_NS
"""How long before the last slot workers are told that it is the last."""
END_S = 2.0
"""How long after the last slot workers may take to confirm it."""


class ArrivalControl:
    """Starts and ends the slots of an arrival rate."""

    def __init__(self, pacer: Pacer, arrivals: Arrivals) -> None:
        """Create the throttle; it holds all users until `begin`."""
        self._pacer = pacer
        self._arrivals = arrivals
        self._begun_ns = self._untaken = 0
        pacer.start(ARRIVAL_RATE, ["constant", 0], 1.0, every=True)

    def begin(self) -> None:
        """Let users start."""
        self.change(self._arrivals.text)
        self._begun_ns = self._pacer.throttles[ARRIVAL_RATE].changed_ns

    def change(self, rate: str) -> Later | None:
        """Change the rate, or start new stages; return a reply for when that is in force."""
        self._pacer.change_shape(ARRIVAL_RATE, ["stages", rate], 1.0)
        return self._pacer.when_in_force(ARRIVAL_RATE)

    def is_over(self, duration_s: float, now_ns: int) -> bool:
        """Return whether the last slot of a run of this duration is near."""
        return now_ns >= self._end_ns(duration_s) - EARLY_NS

    def _end_ns(self, duration_s: float) -> int:
        return self._begun_ns + pause.clock.paused_ns() + round(duration_s * S_NS)

    def take_untaken(self) -> int:
        """Return how many slots nobody took in time since the last call."""
        before, self._untaken = self._untaken, self._pacer.throttles[ARRIVAL_RATE].untaken
        return self._untaken - before

    def end(self, duration_s: float | None, now_ns: int) -> int:
        """End the slots, and wait until the last ones are used.

        Args:
            duration_s: The planned duration of the run, whose last slot may still come; None if the
                run ends now.
            now_ns: The time.

        Returns:
            The total number of slots.
        """
        at_ns = now_ns if duration_s is None else self._end_ns(duration_s)
        later = self._pacer.end(ARRIVAL_RATE, at_ns)
        if later is not None:
            later.wait(max(0, at_ns - now_ns) / S_NS + END_S)
        return self._pacer.throttles[ARRIVAL_RATE].due
