"""What a worker asks of a throttle beyond what its users want now, and when it says so. Pure.

It is said seldom, and in time: before half of the slots in hand are used. By the time that an
answer can be here more will be wanted.

Users that come back as soon as they have passed would otherwise always ask too late. Nothing is
foreseen where slots found no user: a slot that is not taken is lost to all other workers, too.

Where slots are far apart the answer would be in time, but two messages for each slot are too many.
Those that users do not want in the end can be given back, so more is foreseen there, the longer
users have come in time for each slot, and when slots came too late to be used.
"""

from __future__ import annotations

from amoc.base.clock import MS_NS
from amoc.throttle.blocks import SlotsInHand
from amoc.throttle.slot_allocator import MAX_HORIZON_NS

FORESEE_NS = 30 * MS_NS
"""About as long as a demand takes to be met on this host; what will be wanted by then is asked for
ahead. Elsewhere two round trips are added: one for the way, and one for what is told only then."""
MIN_FORESEEN = 2
MAX_FAR_FORESEEN = 32
"""Of slots that are far apart."""
FORESEEN_IF_LATE = 4
_WEIGH_NS = 10 * MS_NS
GAP_NS = 3 * MS_NS
LONG_GAP_NS = 50 * MS_NS
"""Least time between two reports; and while it can wait, or the controller knows of some more."""
PLENTY_GAP_NS = 200 * MS_NS
"""The longest one while the controller knows of plenty that is wanted."""
PLENTY = 32
"""Slots known to be wanted that are enough for a while."""
FAR_GAP_NS = MAX_HORIZON_NS // 2
"""The longest one while there are slots in hand."""
TOGETHER_NS = 20 * MS_NS
"""Reports that can wait are made at multiples of that, those of many throttles together."""


class NoForesight:
    """Foresees nothing, where users never come back for a slot by themselves."""

    foreseen = passed = 0

    def came_late(self) -> None:
        """A slot came late."""

    came_too_late = was_in_vain = came_late

    def weigh(self, at_ns: int, waiting: int, round_trip_ns: int, *, far_apart: bool) -> None:
        """Foresee nothing."""


class Foresight:
    """Foresees by how many have passed lately.

    Attributes:
        foreseen: Slots that will be wanted.
        passed: Users that have passed by slots, ever.
        ran_dry: Whether a slot has found no user since it was weighed.
    """

    __slots__ = (
        "_least",
        "_streak_from",
        "_weighed_ns",
        "_weighed_passed",
        "foreseen",
        "passed",
        "ran_dry",
    )

    def __init__(self) -> None:
        self.foreseen = self.passed = 0
        self.ran_dry = True
        self._least = self._streak_from = self._weighed_passed = self._weighed_ns = 0

    def came_late(self) -> None:
        """A slot came when it was due, or nearly: a user may have come for it only then."""
        self._streak_from = self.passed

    def came_too_late(self) -> None:
        """A slot that a user waited for came too late to be used."""
        self._least = FORESEEN_IF_LATE

    def was_in_vain(self) -> None:
        """A slot found no user."""
        self.ran_dry = True
        self._streak_from, self._least = self.passed, 0

    def weigh(self, at_ns: int, waiting: int, round_trip_ns: int, *, far_apart: bool) -> None:
        """Foresee anew, if it is time, while so many users wait and the controller is so far."""
        elapsed_ns = at_ns - self._weighed_ns
        if far_apart:
            streak = self.passed - self._streak_from
            self.foreseen = max(self._least, min(streak // 2, MAX_FAR_FORESEEN))
        elif self.ran_dry or not waiting:
            self.foreseen = 0
        elif elapsed_ns >= _WEIGH_NS + 2 * round_trip_ns:
            met_ns = FORESEE_NS + 2 * round_trip_ns
            foreseen = (self.passed - self._weighed_passed) * met_ns // elapsed_ns
            self.foreseen = foreseen if foreseen >= MIN_FORESEEN else 0
        else:
            return
        self._weighed_ns, self._weighed_passed = at_ns, self.passed
        self.ran_dry = not waiting


def report_ns(told_ns: int, hand: SlotsInHand, known: int, wanted: int) -> int:
    """When to report, if nothing is urgent: before half of the slots in hand are used.

    Args:
        told_ns: When it was told last.
        hand: The slots in hand.
        known: How many more the controller knows to be wanted; 0 if it must know exactly.
        wanted: How many more are wanted.
    """
    least_ns = GAP_NS
    if PLENTY <= known < 2 * wanted:  # it knows of more than it can meet
        least_ns = PLENTY_GAP_NS if known > 4 * hand.size else LONG_GAP_NS
    half_ns = (hand.covered_ns - told_ns) // 2
    if half_ns > LONG_GAP_NS:
        gap_ns = max(least_ns, min(half_ns, FAR_GAP_NS))
        return (told_ns + gap_ns) // TOGETHER_NS * TOGETHER_NS
    return told_ns + max(least_ns, half_ns)
