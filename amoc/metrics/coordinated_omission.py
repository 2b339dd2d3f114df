"""Coordinated omission: turns that a user has missed because the target held it up. Pure.

A user that hangs in a stalled target comes to no throttle meanwhile, so the slots that it would
have used do not exist, and one bad response time stands for all the moments in which it would have
met the stall. The correction is Gil Tene's, with an interval that is measured instead of given: a
user's `Cadence` learns how far apart the slots are that it usually uses. A response of r, at a
usual interval of E, stands for the turns that it has kept from happening: they would have begun E,
2E, 3E, … later and ended with it, so they would have taken r - E, r - 2E, … down to E.

    r < 2E         nothing is missed: at the most one turn is late
    r >= 2E        floor(r / E) - 1 turns are missed

The usual interval is a mean, at first of all intervals and then of some eight, so that what is
added is in proportion to what the user does on average: who makes ten turns in a second and then
rests for a minute has missed little in two seconds. The interval in which turns were missed counts
as 2E at the most: a stall hardly moves what is usual, a lasting change does. Pauses of the run are
no intervals.
"""

from __future__ import annotations

from collections.abc import Iterator

from amoc.metrics.histogram import LAST_CELL

RESPONSE = ".response"
"""Ends the names of timers of response times."""
MIN_INTERVALS = 3
"""Intervals that must be known before one is called usual."""
MEMORY = 8
"""Intervals that the mean is of, roughly."""
MAX_TIMERS = 8
"""Timers of one user whose cadence is kept; the memory of a user is bounded."""


class Cadence:
    """At what intervals a user begins what one timer measures.

    Attributes:
        timer: The timer.
        following: The cadence of the same user and another timer; None where there is no more.
        usual_ns: The usual interval between the slots that are used; 0 while it is not known.
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
            paused_ns: For how long the run has been paused, all in all.
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
        """Note a turn that is over; whether others were missed because of it.

        Args:
            intended_ns: Its slot's time.
            paused_ns: For how long the run has been paused, all in all.
            response_ns: How long after its slot it ended, pauses left out.
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
    """The response times of turns that were missed, as cells of a histogram and hits.

    Args:
        response_ns: That of the turn that kept them from happening.
        usual_ns: How far apart turns begin, above 0.

    A step for each cell that is hit: at the most as many as there are turns, each of which would
    have cost far more, and never more than a histogram has cells.
    """
    left_ns = response_ns - usual_ns
    while left_ns >= usual_ns:
        shift = max(0, left_ns.bit_length() - 8)
        least_ns = (left_ns >> shift) << shift  # where the cell begins
        hits = (left_ns - least_ns) // usual_ns + 1
        cell = (shift << 7) + (left_ns >> shift)
        yield min(cell, LAST_CELL), hits
        left_ns -= hits * usual_ns
