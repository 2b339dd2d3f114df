"""How far the controller's clock is ahead of this host's, within bounds that hold. Pure.

Monotonic clocks of two hosts have nothing in common but their pace, nearly. A question and its
answer carry four times, and bound the offset from both sides, however long either was on its way:

    asked (here) → received (there), answered (there) → heard (here)
    answered - heard  ≤  offset  ≤  received - asked

Each bound is the tightest that was seen, and gives way with time, by as much as two clocks can
drift apart. So the quickest ways of either direction decide, a slow answer does no harm, and the
truth is never outside. Where an answer contradicts what is known, a host was suspended or its clock
was set: what is known begins anew with it.
"""

from __future__ import annotations

from typing import NamedTuple

MAX_DRIFT_PPM = 500
"""How fast two clocks drift apart at the most: quartz makes 100, a clock that is being set right
by NTP up to 500."""


class Offset(NamedTuple):
    """What is to be added to a time here to have the controller's time.

    It is not less than `low_ns` and not more than `high_ns`.
    """

    low_ns: int
    high_ns: int

    @property
    def middle_ns(self) -> int:
        """The best single figure."""
        return (self.low_ns + self.high_ns) // 2

    @property
    def bound_ns(self) -> int:
        """How far `middle_ns` can be from the truth."""
        return (self.high_ns - self.low_ns + 1) // 2


class ClockOffset:
    """Learns the offset from questions and answers, each heard later than the one before.

    Attributes:
        answers: How many there were.
        restarts: How often what was known was contradicted.
    """

    def __init__(self) -> None:
        self.answers = 0
        self.restarts = 0
        self._known: Offset | None = None
        self._at_ns = 0

    def at(self, now_ns: int) -> Offset | None:
        """The offset at `now_ns`, a time here; None before the first answer."""
        if self._known is None:
            return None
        widened = _drift_ns(now_ns - self._at_ns)
        return Offset(self._known.low_ns - widened, self._known.high_ns + widened)

    def note(self, asked_ns: int, received_ns: int, answered_ns: int, heard_ns: int) -> bool:
        """Take the times of an answer into account; whether they make sense.

        Args:
            asked_ns: When the question left, here.
            received_ns: When it arrived, at the controller.
            answered_ns: When the answer left, at the controller.
            heard_ns: When that arrived, here.
        """
        way_ns = heard_ns - asked_ns
        there_ns = answered_ns - received_ns
        # While it is there, its clock may be the faster one.
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
    """How far two clocks drift apart in that time, at the most; rounded up."""
    return -(-abs(age_ns) * MAX_DRIFT_PPM // 1_000_000)
