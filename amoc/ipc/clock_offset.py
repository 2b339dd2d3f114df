"""The offset of the controller's clock from this host's, with guaranteed bounds. Pure.

Monotonic clocks of two hosts share only their pace, and even that only approximately. A request and
its answer carry four timestamps, which bound the offset from both sides, whatever the delays:

    asked (here) → received (there), answered (there) → heard (here)
    answered - heard  ≤  offset  ≤  received - asked

Each bound is the tightest seen so far, relaxed over time by the maximum drift between two clocks.
So the fastest trips in each direction determine the result, slow answers do no harm, and the true
offset is never outside the bounds. If an answer contradicts the bounds, a host was suspended or its
clock was set; the estimate then starts over from this answer.
"""

from __future__ import annotations

from typing import NamedTuple

MAX_DRIFT_PPM = 500
"""Maximum drift between two clocks: quartz drifts up to 100, a clock slewed by NTP up to 500."""


class Offset(NamedTuple):
    """Bounds of the offset to add to a local time to get the controller's time."""

    low_ns: int
    high_ns: int

    @property
    def middle_ns(self) -> int:
        """The best single figure."""
        return (self.low_ns + self.high_ns) // 2

    @property
    def bound_ns(self) -> int:
        """The maximum error of `middle_ns`."""
        return (self.high_ns - self.low_ns + 1) // 2


class ClockOffset:
    """Estimates the offset from requests and answers, in the order of their arrival.

    Attributes:
        answers: The number of answers.
        restarts: How often an answer contradicted the bounds.
    """

    def __init__(self) -> None:
        self.answers = 0
        self.restarts = 0
        self._known: Offset | None = None
        self._at_ns = 0

    def at(self, now_ns: int) -> Offset | None:
        """Return the offset at local time `now_ns`; None before the first answer."""
        if self._known is None:
            return None
        widened = _drift_ns(now_ns - self._at_ns)
        return Offset(self._known.low_ns - widened, self._known.high_ns + widened)

    def note(self, asked_ns: int, received_ns: int, answered_ns: int, heard_ns: int) -> bool:
        """Add the timestamps of an answer; return whether they are plausible.

        Args:
            asked_ns: When the request was sent, local time.
            received_ns: When it arrived, controller's time.
            answered_ns: When the answer was sent, controller's time.
            heard_ns: When the answer arrived, local time.
        """
        way_ns = heard_ns - asked_ns
        there_ns = answered_ns - received_ns
        # The controller's clock may be the faster one in between.
        sensible = way_ns >= 0 and 0 <= there_ns <= way_ns + _drift_ns(way_ns)
        if not sensible or (self._known is not None and heard_ns < self._at_ns):
            return False
        self.answers += 1
        low_ns = answered_ns - heard_ns
        high_ns = received_ns - asked_ns + _drift_ns(way_ns)
        known = self.at(heard_ns) or Offset(low_ns, high_ns)
        found = Offset(max(known.low_ns, low_ns), min(known.high_ns, high_ns))
        if found.low_ns > found.high_ns:
            self.restarts += 1
            found = Offset(low_ns, high_ns)
        self._known, self._at_ns = found, heard_ns
        return True


def _drift_ns(age_ns: int) -> int:
    """Return the maximum drift between two clocks in this time, rounded up."""
    return -(-abs(age_ns) * MAX_DRIFT_PPM // 1_000_000)
