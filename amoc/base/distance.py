"""How far away the nodes of a run are. Pure.

What the controller lays down for a moment to come must be known everywhere before: the farther the
farthest node is, the further ahead.
"""

from __future__ import annotations


class Distance:
    """What is known of that.

    Attributes:
        round_trip_ns: How long a message to the farthest node and its answer take, at their
            quickest; 0 where all nodes have the controller's clock, so are on its host.
    """

    __slots__ = ("round_trip_ns",)

    def __init__(self) -> None:
        self.round_trip_ns = 0
