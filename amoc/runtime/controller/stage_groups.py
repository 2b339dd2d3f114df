"""Users by stages: one profile for all users, or one for each of several scenarios."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from fractions import Fraction
from math import inf
from typing import NamedTuple

from amoc.base.clock import S_NS
from amoc.base.node_latency import NodeLatency
from amoc.runtime.controller.ramp_down import RampDown
from amoc.runtime.controller.stage_follower import StageFollower
from amoc.runtime.controller.start_queue import ALL
from amoc.scenario.file_loads import FileLoads
from amoc.scenario.load_profile import Stage, Stages
from amoc.scenario.run_plan import RunPlan


class _Group(NamedTuple):
    follower: StageFollower
    ramp_down: RampDown
    add: Callable[[int, Sequence[int]], None]
    """Add a number of users, each to start no earlier than its time."""


class StageGroups:
    """Keeps the number of users that stages require, separately for each group."""

    def __init__(
        self,
        plan: RunPlan,
        start_rate: float,
        ramp_down: Callable[[range], RampDown],
        add: Callable[[int, Sequence[int]], None],
        add_ids: Callable[[range, Sequence[int]], None],
        latency: NodeLatency | None = None,
    ) -> None:
        """Create it without users.

        Args:
            plan: What is run.
            start_rate: Rate per minute at which users of groups without stages start.
            ramp_down: Creates the `RampDown` for a range of ids.
            add: Adds a number of users, to start at the given times.
            add_ids: Adds users with these ids, to start at the given times.
            latency: Round-trip time to the farthest node.
        """
        self._groups: list[_Group] = []
        loads = plan.loads
        if loads is None and plan.stages is not None:
            follower = StageFollower(plan.stages, len(plan.users), latency)
            self._groups.append(_Group(follower, ramp_down(ALL), add))
        for ids, stages in _wanted(loads, start_rate) if loads is not None else ():
            follower = StageFollower(stages, 0, latency)
            self._groups.append(_Group(follower, ramp_down(ids), _Adder(ids, add_ids)))

    @property
    def ramp_downs(self) -> list[RampDown]:
        """The parts that stop users when stages ramp down."""
        return [one.ramp_down for one in self._groups]

    @property
    def done(self) -> bool:
        """Whether the last stage of every group is over."""
        return all(one.follower.done for one in self._groups)

    def follow(self, run_ns: int, run_began_ns: int) -> None:
        """Adjust the number of users to the time `run_ns`, which counts from `run_began_ns`."""
        for follower, ramp_down, add in self._groups:
            change = follower.step(run_ns)
            if change.dues_ns:
                add(len(change.dues_ns), [run_began_ns + due_ns for due_ns in change.dues_ns])
            ramp_down.target = follower.target
            if change.removed:
                ramp_down.lower()


class _Adder:
    """Adds users with the next ids of a group."""

    def __init__(self, ids: range, add_ids: Callable[[range, Sequence[int]], None]) -> None:
        self._left = ids
        self._add_ids = add_ids

    def __call__(self, count: int, dues_ns: Sequence[int]) -> None:
        ids, self._left = self._left[:count], self._left[count:]
        self._add_ids(ids, dues_ns)


def _wanted(loads: FileLoads, start_rate: float) -> list[tuple[range, Stages]]:
    """Return the ids of each group, and its stages."""
    wanted = []
    for one in loads.groups:
        stages = one.stages
        if stages is None:
            per_s = start_rate / 60
            # If the start rate is 0 or infinite, only its throttle holds the users back.
            took_s = len(one.ids) / per_s if 0 < per_s < inf else 0.0
            stages = Stages((Stage(round(took_s * S_NS), Fraction(len(one.ids))),))
        if one.ids:
            wanted.append((one.ids, stages))
    return wanted
