"""How late the beats would have been that a resting worker leaves out. Pure.

They would have been due at equal intervals. One that is due while a turn of the loop goes on is as
late as that turn lasts still. One that finds the loop waiting is as late as the loop usually is;
and when the next real beat comes late, all that were due since its time are late, too.
"""

from __future__ import annotations

from collections.abc import Iterator


class SkippedBeats:
    """Beats that are left out during one rest."""

    def __init__(self, began_ns: int, interval_ns: int) -> None:
        """A rest begins; the first beat is due after the interval."""
        self._next_ns = began_ns + interval_ns
        self._interval_ns = interval_ns
        self._waiting = 0
        """How many have found the loop waiting and are not told yet."""

    def turn(self, began_ns: int, ended_ns: int) -> Iterator[int]:
        """A turn is over; how late the beats are that were due in it."""
        while self._next_ns < began_ns:
            self._waiting += 1
            self._next_ns += self._interval_ns
        while self._next_ns <= ended_ns:
            yield ended_ns - self._next_ns
            self._next_ns += self._interval_ns

    def end(self, due_ns: int, ended_ns: int, usual_ns: int) -> Iterator[int]:
        """The rest is over; how late the other beats are that were due.

        Args:
            due_ns: When it was to be over.
            ended_ns: When it was.
            usual_ns: How late the loop usually is.
        """
        first_ns = self._next_ns - self._waiting * self._interval_ns
        for at_ns in range(first_ns, ended_ns + 1, self._interval_ns):
            yield ended_ns - at_ns if at_ns >= due_ns else usual_ns
