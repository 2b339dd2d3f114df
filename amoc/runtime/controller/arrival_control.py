"""The arrival rate of a run: a throttle at whose slots workers begin iterations.

Its slots begin a moment after users may start, when all workers stand in its queue, and end a
moment before these are stopped, so that each slot is either used or dropped: how many there were
is known exactly.
"""

from __future__ import annotations

from amoc.base import pause
from amoc.base.clock import MS_NS, S_NS
from amoc.ipc.rpc import Later
from amoc.scenario.arrivals import ARRIVAL_RATE, Arrivals
from amoc.throttle.controller import Pacer

EARLY_NS = 80 * MS_NS
"""How long before the last slot workers are told that it will be the last."""
END_S = 2.0
"""How long workers may take to act by that, beyond the time of the slot."""


class ArrivalControl:
    """Begins and ends the slots of an arrival rate."""

    def __init__(self, pacer: Pacer, arrivals: Arrivals) -> None:
        """Start the throttle, which holds all users at first."""
        self._pacer = pacer
        self._arrivals = arrivals
        self._begun_ns = self._untaken = 0
        pacer.start(ARRIVAL_RATE, ["constant", 0], 1.0, every=True)

    def begin(self) -> None:
        """Users may start."""
        self.change(self._arrivals.text)
        self._begun_ns = self._pacer.throttles[ARRIVAL_RATE].changed_ns

    def change(self, rate: str) -> Later | None:
        """Change the rate, or have it follow stages from now on; answers when that is in force."""
        self._pacer.change_shape(ARRIVAL_RATE, ["stages", rate], 1.0)
        return self._pacer.when_in_force(ARRIVAL_RATE)

    def is_over(self, duration_s: float, now_ns: int) -> bool:
        """Whether the last slot of so long a run is near."""
        return now_ns >= self._end_ns(duration_s) - EARLY_NS

    def _end_ns(self, duration_s: float) -> int:
        return self._begun_ns + pause.clock.paused_ns() + round(duration_s * S_NS)

    def take_untaken(self) -> int:
        """How many slots nobody took in time since the last call."""
        before, self._untaken = self._untaken, self._pacer.throttles[ARRIVAL_RATE].untaken
        return self._untaken - before

    def end(self, duration_s: float | None, now_ns: int) -> int:
        """Let the slots end, and wait until the last ones are used.

        Args:
            duration_s: How long the run was to be; its last slot may still come. None if the run
                ends now.
            now_ns: The time.

        Returns:
            How many slots there were.
        """
        at_ns = now_ns if duration_s is None else self._end_ns(duration_s)
        later = self._pacer.end(ARRIVAL_RATE, at_ns)
        if later is not None:
            later.wait(max(0, at_ns - now_ns) / S_NS + END_S)
        return self._pacer.throttles[ARRIVAL_RATE].due
