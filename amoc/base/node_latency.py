"""Latency of the most distant node of a run. Pure.

Whatever the controller schedules must reach every node before it is due, so the lead time grows
with this latency.
"""

from __future__ import annotations


class NodeLatency:
    """The current figure, shared by everything that schedules ahead.

    Attributes:
        round_trip_ns: Minimum round-trip time to the most distant node; 0 if all nodes share the
            controller's clock, that is, its host.
    """

    __slots__ = ("round_trip_ns",)

    def __init__(self) -> None:
        self.round_trip_ns = 0
