"""Follows stages: converts the number of users over time into additions and removals. Pure.

Stages are evaluated some fifty times a second, a little ahead, and each user gets the time at which
the ramp reaches it. If one step adds many users, they are spread evenly over the time since the
last step, which gives the same times within a few milliseconds at a tenth of the cost.
"""

from __future__ import annotations

from typing import NamedTuple

from amoc.base.clock import MS_NS
from amoc.base.node_latency import NodeLatency
from amoc.scenario.load_profile import Stages

HORIZON_NS = 100 * MS_NS
"""How far ahead users are added if all nodes are on this host."""
MAX_EXACT = 200
"""Most users in one step whose times are computed one by one."""


class Change(NamedTuple):
    """A change of the number of users."""

    dues_ns: list[int]
    """When the added users may start, on the run's clock."""
    removed: int
    """How many users to remove now."""


class StageFollower:
    """Follows the stages.

    Attributes:
        target: How many users there should be, according to the stages.
    """

    def __init__(self, stages: Stages, target: int, latency: NodeLatency | None = None) -> None:
        """Start with `target` users that have already been added."""
        self._latency = latency or NodeLatency()
        self.target = target
        self._stages = stages
        self._seen_ns = 0

    @property
    def done(self) -> bool:
        """Whether the last stage is over."""
        return self._seen_ns >= self._stages.total_ns

    def step(self, run_ns: int) -> Change:
        """Return the change that is due at `run_ns` of the run's clock."""
        ahead_ns = max(self._seen_ns, run_ns + HORIZON_NS + self._latency.round_trip_ns)
        # The highest point in between, so that no peak is missed. And users are not removed early:
        # only those that are not needed at any time from now to the horizon.
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
