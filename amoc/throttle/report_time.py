"""When a worker tells the controller what it wants of a throttle: seldom, and in time. Pure."""

from __future__ import annotations

from amoc.base.clock import MS_NS
from amoc.throttle.slot_allocator import MAX_HORIZON_NS
from amoc.throttle.slots_in_hand import SlotsInHand

GAP_NS = 3 * MS_NS
LONG_GAP_NS = 50 * MS_NS
"""Least and longest time between two reports."""
PLENTY_GAP_NS = 200 * MS_NS
"""The longest one while the controller knows of plenty that is wanted."""
PLENTY = 32
"""Slots known to be wanted that are enough for a while."""
FAR_GAP_NS = MAX_HORIZON_NS // 2
"""The longest one where slots are far apart."""
TOGETHER_NS = 20 * MS_NS
"""Reports that can wait are made at multiples of that, those of many throttles together."""


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
    if half_ns > LONG_GAP_NS and hand.far_apart:
        gap_ns = max(least_ns, min(half_ns, FAR_GAP_NS))
        return (told_ns + gap_ns) // TOGETHER_NS * TOGETHER_NS
    return told_ns + max(least_ns, min(half_ns, LONG_GAP_NS))
