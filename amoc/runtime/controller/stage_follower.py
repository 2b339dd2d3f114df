"""Follows stages: how many users there are to be at each moment, as additions and removals. Pure.

Stages are looked at some fifty times a second, and a little ahead, and each user gets the time at
which the ramp reaches it. Where a look adds very many they are spread evenly over the time since
the last one, which is the same to a few milliseconds and a tenth of the work.
"""

from __future__ import annotations

from typing import NamedTuple

from amoc.base.clock import MS_NS
from amoc.scenario.load_profile import Stages

HORIZON_NS = 100 * MS_NS
"""How far ahead users are added."""
MAX_EXACT = 200
"""Users of one look that are worked out one by one."""


class Change(NamedTuple):
    """What has to happen to the number of users."""

    dues_ns: list[int]
    """When the added users may start, on the run's own clock."""
    removed: int
    """How many are to be removed now."""


class StageFollower:
    """Walks along the stages.

    Attributes:
        target: How many users there should be, by the stages.
    """

    def __init__(self, stages: Stages, target: int) -> None:
        """Begin with `target` users that are there, or on their way, already."""
        self.target = target
        self._stages = stages
        self._seen_ns = 0

    @property
    def done(self) -> bool:
        """Whether the last stage has been walked to its end."""
        return self._seen_ns >= self._stages.total_ns

    def step(self, run_ns: int) -> Change:
        """What has to happen at `run_ns` of the run's own clock."""
        ahead_ns = max(self._seen_ns, run_ns + HORIZON_NS)
        # The highest point of the way, so that no peak is missed between two looks. And nobody is
        # removed early: what is taken away is what nothing between now and the horizon needs.
        added = max(0, self._stages.most_between(self._seen_ns, ahead_ns) - self.target)
        dues_ns = self._dues_ns(added, ahead_ns)
        self.target, self._seen_ns = self.target + added, ahead_ns
        removed = max(0, self.target - self._stages.most_between(max(0, run_ns), ahead_ns))
        self.target -= removed
        return Change(dues_ns, removed)

    def _dues_ns(self, added: int, ahead_ns: int) -> list[int]:
        since_ns = self._seen_ns
        if added > MAX_EXACT:
            window_ns = ahead_ns - since_ns
            return [since_ns + window_ns * (k + 1) // (added + 1) for k in range(added)]
        users = range(self.target + 1, self.target + added + 1)
        return [self._stages.due_ns(k, since_ns) or since_ns for k in users]
