"""How many slots a worker requests beyond its users' current demand, and when it reports. Pure.

Reports are rare, but in time: before half of the available slots are used. By the time an answer
can arrive, more slots will be wanted.

Without foresight, users that return as soon as they have passed would always ask too late. Nothing
is foreseen while slots find no user: an unused slot is lost to all other workers, too.

Where slots are far apart an answer would be in time, but two messages per slot are too many. Slots
that turn out not to be needed can be given back there, so more are foreseen the longer users have
come in time for each slot, and when slots arrived too late to be used.
"""

from __future__ import annotations

from amoc.base.clock import MS_NS
from amoc.throttle.blocks import SlotStock
from amoc.throttle.slot_allocator import MAX_HORIZON_NS

FORESEE_NS = 30 * MS_NS
"""Approximate time until a demand is met on this host; slots wanted within it are requested ahead.
On other hosts two round trips are added: for the messages, and for demand that arises meanwhile."""
MIN_FORESEEN = 2
MAX_FAR_FORESEEN = 32
"""For slots that are far apart."""
FORESEEN_IF_LATE = 4
_UPDATE_NS = 10 * MS_NS
GAP_NS = 3 * MS_NS
LONG_GAP_NS = 50 * MS_NS
"""Least time between two reports: normally, and while the controller knows of some demand."""
PLENTY_GAP_NS = 200 * MS_NS
"""Least time between two reports while the controller knows of plenty of demand."""
PLENTY = 32
"""Known demand, in slots, that is enough for a while."""
FAR_GAP_NS = MAX_HORIZON_NS // 2
"""Longest time between two reports while there are slots available."""
TOGETHER_NS = 20 * MS_NS
"""Reports that can wait happen at multiples of this, so those of many throttles go together."""


class NoForesight:
    """Foresees nothing: for queues whose users never return for a slot on their own."""

    foreseen = passed = 0

    def came_late(self) -> None:
        """Record that a slot came late."""

    came_too_late = was_unused = came_late

    def update(self, at_ns: int, waiting: int, round_trip_ns: int, *, far_apart: bool) -> None:
        """Foresee nothing."""


class Foresight:
    """Foresees demand from the number of users that have passed lately.

    Attributes:
        foreseen: Slots that will be wanted.
        passed: Users that have passed with a slot, ever.
        ran_dry: Whether a slot has found no user since the last `update`.
    """

    __slots__ = (
        "_least",
        "_streak_from",
        "_updated_ns",
        "_updated_passed",
        "foreseen",
        "passed",
        "ran_dry",
    )

    def __init__(self) -> None:
        self.foreseen = self.passed = 0
        self.ran_dry = True
        self._least = self._streak_from = self._updated_passed = self._updated_ns = 0

    def came_late(self) -> None:
        """Record that a slot came when about due: a user may have come for it only then."""
        self._streak_from = self.passed

    def came_too_late(self) -> None:
        """Record that a slot wanted by a user came too late to be used."""
        self._least = FORESEEN_IF_LATE

    def was_unused(self) -> None:
        """Record that a slot found no user."""
        self.ran_dry = True
        self._streak_from, self._least = self.passed, 0

    def update(self, at_ns: int, waiting: int, round_trip_ns: int, *, far_apart: bool) -> None:
        """Update `foreseen` if it is time, for `waiting` users and this round-trip time."""
        elapsed_ns = at_ns - self._updated_ns
        if far_apart:
            streak = self.passed - self._streak_from
            self.foreseen = max(self._least, min(streak // 2, MAX_FAR_FORESEEN))
        elif self.ran_dry or not waiting:
            self.foreseen = 0
        elif elapsed_ns >= _UPDATE_NS + 2 * round_trip_ns:
            met_ns = FORESEE_NS + 2 * round_trip_ns
            foreseen = (self.passed - self._updated_passed) * met_ns // elapsed_ns
            self.foreseen = foreseen if foreseen >= MIN_FORESEEN else 0
        else:
            return
        self._updated_ns, self._updated_passed = at_ns, self.passed
        self.ran_dry = not waiting


def report_ns(reported_ns: int, slots: SlotStock, known: int, wanted: int) -> int:
    """Return when to report if nothing is urgent: before half of the available slots are used.

    Args:
        reported_ns: Time of the last report.
        slots: The available slots.
        known: How many more slots the controller knows to be wanted; 0 if it needs exact figures.
        wanted: How many more slots are wanted.
    """
    least_ns = GAP_NS
    if PLENTY <= known < 2 * wanted:  # it knows of more demand than it can meet
        least_ns = PLENTY_GAP_NS if known > 4 * slots.size else LONG_GAP_NS
    half_ns = (slots.covered_ns - reported_ns) // 2
    if half_ns > LONG_GAP_NS:
        gap_ns = max(least_ns, min(half_ns, FAR_GAP_NS))
        return (reported_ns + gap_ns) // TOGETHER_NS * TOGETHER_NS
    return reported_ns + max(least_ns, half_ns)
