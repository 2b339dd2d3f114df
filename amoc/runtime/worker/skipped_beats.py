"""Estimated lateness of the beats that an idle worker skips. Pure.

They would have been due at equal intervals. A beat due during a turn of the event loop is late by
the remaining time of that turn. A beat that finds the loop waiting is as late as is usual. If the
next real beat comes late, all beats due after its intended time are late, too.
"""

from __future__ import annotations

from collections.abc import Iterator


class SkippedBeats:
    """The beats skipped during one rest."""

    def __init__(self, began_ns: int, interval_ns: int) -> None:
        """Start a rest; the first beat is due after the interval."""
        self._next_ns = began_ns + interval_ns
        self._interval_ns = interval_ns
        self._waiting = 0
        """Beats that found the loop waiting, and were not returned yet."""

    def turn(self, began_ns: int, ended_ns: int) -> Iterator[int]:
        """Yield the lateness of the beats that were due in a turn, which is over."""
        while self._next_ns < began_ns:
            self._waiting += 1
            self._next_ns += self._interval_ns
        while self._next_ns <= ended_ns:
            yield ended_ns - self._next_ns
            self._next_ns += self._interval_ns

    def end(self, due_ns: int, ended_ns: int, usual_ns: int) -> Iterator[int]:
        """Yield the lateness of all other beats that were due in the rest, which is over.

        Args:
            due_ns: Intended end of the rest.
            ended_ns: Actual end of the rest.
            usual_ns: The loop's usual lateness.
        """
        first_ns = self._next_ns - self._waiting * self._interval_ns
        for at_ns in range(first_ns, ended_ns + 1, self._interval_ns):
            yield ended_ns - at_ns if at_ns >= due_ns else usual_ns
