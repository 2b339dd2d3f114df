"""When a worker tells the controller what it wants of a throttle: seldom, and in time. Pure."""

from __future__ import annotations

from amoc.base.clock import MS_NS
from amoc.throttle.slot_allocator import MAX_HORIZON_NS

GAP_NS = 3 * MS_NS
LONG_GAP_NS = 50 * MS_NS
"""Least and longest time between two reports."""
FAR_GAP_NS = MAX_HORIZON_NS // 2
"""The longest one where slots are far apart."""
TOGETHER_NS = 20 * MS_NS
"""Reports that can wait are made at multiples of that, those of many throttles together."""


def report_ns(told_ns: int, covered_ns: int, *, far_apart: bool, plenty: bool) -> int:
    """When to report, if nothing is urgent: before half of the slots in hand are used.

    Args:
        told_ns: When it was told last.
        covered_ns: When the last slot in hand is due.
        far_apart: Whether these are.
        plenty: Whether the controller knows of more than it can meet.
    """
    half_ns = max((covered_ns - told_ns) // 2, LONG_GAP_NS if plenty else GAP_NS)
    if half_ns <= LONG_GAP_NS or not far_apart:
        return told_ns + min(half_ns, LONG_GAP_NS)
    return (told_ns + min(half_ns, FAR_GAP_NS)) // TOGETHER_NS * TOGETHER_NS
