"""Coordinated omission: turns that a user missed because the target held it up. Pure.

While a user hangs in a stalled target it reaches no throttle, so the slots that it would have used
do not exist, and a single bad response time stands for all the moments at which it would have been
affected by the stall. The correction is Gil Tene's, with an interval that is measured rather than
given: a user's `Cadence` learns the usual interval between the slots that it uses. A response of r,
at a usual interval of E, stands for the turns that it prevented. They would have begun E, 2E, 3E, …
later and ended with it, so they would have taken r - E, r - 2E, … down to E.

    r < 2E         nothing is missed: at most one turn is late
    r >= 2E        floor(r / E) - 1 turns are missed

The usual interval is a mean, at first of all intervals and later of about eight, so the number of
added turns is proportional to what the user does on average: a user that makes ten turns in a
second and then rests for a minute has missed little in two seconds. An interval in which turns were
missed counts as at most 2E: a stall hardly changes the usual interval, a lasting change does.
Pauses of the run do not count as intervals.
"""

from __future__ import annotations

from collections.abc import Iterator

from amoc.metrics.histogram import LAST_CELL

RESPONSE = ".response"
"""Suffix of the names of response time timers."""
MIN_INTERVALS = 3
"""Intervals needed before their mean is used."""
MEMORY = 8
"""Approximate number of intervals in the mean."""
MAX_TIMERS = 8
"""Timers per user whose cadence is kept, to limit a user's memory."""


class Cadence:
    """The intervals at which a user starts what one timer measures.

    Attributes:
        timer: The timer.
        following: The same user's cadence for another timer; None if there is none.
        usual_ns: The usual interval between used slots; 0 while it is unknown.
    """

    __slots__ = (
        "_frozen_ns",
        "_intervals",
        "_last_ns",
        "_missed",
        "following",
        "timer",
        "usual_ns",
    )

    def __init__(
        self, timer: object, intended_ns: int, paused_ns: int, following: Cadence | None
    ) -> None:
        """Begin with the first turn.

        Args:
            timer: The timer.
            intended_ns: The slot's time.
            paused_ns: How long the run has been paused in total.
            following: The user's other cadences.
        """
        self.timer = timer
        self.following = following
        self.usual_ns = 0
        self._intervals = 0
        self._last_ns = intended_ns
        self._frozen_ns = paused_ns
        self._missed = False

    def turn(self, intended_ns: int, paused_ns: int, response_ns: int) -> bool:
        """Add a completed turn; return whether others were missed because of it.

        Args:
            intended_ns: Its slot's time.
            paused_ns: How long the run has been paused in total.
            response_ns: The time from its slot to its end, without pauses.
        """
        interval_ns = intended_ns - self._last_ns
        if interval_ns > 0:  # another slot; a timer may end more than once under one
            usual_ns = self.usual_ns
            if paused_ns == self._frozen_ns:
                known = self._intervals
                if known < MEMORY:
                    self._intervals = known = known + 1
                if self._missed and interval_ns > 2 * usual_ns:
                    interval_ns = 2 * usual_ns
                self.usual_ns = usual_ns + (interval_ns - usual_ns) // known
            self._frozen_ns = paused_ns
            self._last_ns = intended_ns
            self._missed = False
        if response_ns < 2 * self.usual_ns or self._intervals < MIN_INTERVALS:
            return False
        self._missed = True
        return True


def missed(response_ns: int, usual_ns: int) -> Iterator[tuple[int, int]]:
    """Yield the response times of missed turns, as histogram cells and hits.

    Args:
        response_ns: The response time of the turn that prevented them.
        usual_ns: The interval between turns, above 0.

    One step per cell hit: at most as many as there are turns, each of which would have cost far
    more, and never more than a histogram has cells.
    """
    left_ns = response_ns - usual_ns
    while left_ns >= usual_ns:
        shift = max(0, left_ns.bit_length() - 8)
        least_ns = (left_ns >> shift) << shift  # the beginning of the cell
        hits = (left_ns - least_ns) // usual_ns + 1
        cell = (shift << 7) + (left_ns >> shift)
        yield min(cell, LAST_CELL), hits
        left_ns -= hits * usual_ns
