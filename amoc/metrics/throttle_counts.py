"""The counts of each throttle: the only place that declares them. Pure.

A worker has a record on the board for each throttle (`Kind.THROTTLE`): the fields of
`ThrottleCounts`, which only grow, followed by the number of users waiting now. The sampler, the
series, the summary, thresholds, exporters and exports take the names from here.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from operator import add
from typing import NamedTuple

MAX_THROTTLES = 10_000
"""Most throttles that a scenario can start; a worker counts each of them, and amoc's own."""


class ThrottleCounts(NamedTuple):
    """The counts of a throttle: since the run began, or their growth."""

    requests: int = 0
    """How often a user asked to pass."""
    executions: int = 0
    """How often a user passed."""
    missed: int = 0
    """Slots that were not used because they came too late."""

    def plus(self, more: Sequence[int]) -> ThrottleCounts:
        """Return the sum of both."""
        return ThrottleCounts._make(map(add, self, more))

    def beyond(self, known: Sequence[int]) -> ThrottleCounts:
        """Return how much each count exceeds that in `known`, at least 0."""
        pairs = zip(self, known, strict=True)
        return ThrottleCounts._make([now - before if now > before else 0 for now, before in pairs])


class Count:
    """One cell of a throttle's record."""

    __slots__ = ("cells",)

    def __init__(self) -> None:
        self.cells: memoryview[int] = memoryview(bytearray(8)).cast("Q")  # until bound: unreported

    def inc(self, n: int = 1, /) -> None:
        """Count `n` more, which is 0 or more."""
        self.cells[0] += n

    def set(self, value: int, /) -> None:
        """Set the cell to `value`."""
        self.cells[0] = value


COUNTS = ThrottleCounts._fields
WAITING = "waiting"
"""The name of the number of users waiting now, next to the counts."""
HELP: Mapping[str, str] = {
    "requests": "How often users asked to pass the throttle",
    "executions": "How often a user passed the throttle",
    "missed": "Slots of the throttle that were not used because they came too late",
    WAITING: "Users waiting at the throttle",
}
