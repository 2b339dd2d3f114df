"""Users by stages: one number of users for all, or one for each of several scenarios."""

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
    """Add so many users, each not before its time."""


class StageGroups:
    """Has as many users as stages want, of each group for itself."""

    def __init__(
        self,
        plan: RunPlan,
        start_rate: float,
        ramp_down: Callable[[range], RampDown],
        add: Callable[[int, Sequence[int]], None],
        add_ids: Callable[[range, Sequence[int]], None],
        latency: NodeLatency | None = None,
    ) -> None:
        """Begin without users.

        Args:
            plan: What is run.
            start_rate: At how many a minute users of fixed numbers start beside such with stages.
            ramp_down: Makes what stops users of some ids.
            add: Adds so many users at their times.
            add_ids: Adds users of these ids at their times.
            latency: Round trip to the farthest node.
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
        """What stops users when stages fall."""
        return [one.ramp_down for one in self._groups]

    @property
    def done(self) -> bool:
        """Whether the last stages are over."""
        return all(one.follower.done for one in self._groups)

    def follow(self, run_ns: int, run_began_ns: int) -> None:
        """Have as many users as is wanted at `run_ns`; `run_began_ns` is the clock's zero."""
        for follower, ramp_down, add in self._groups:
            change = follower.step(run_ns)
            if change.dues_ns:
                add(len(change.dues_ns), [run_began_ns + due_ns for due_ns in change.dues_ns])
            ramp_down.line = follower.target
            if change.removed:
                ramp_down.fall()


class _Adder:
    """Adds users with the ids of a group, one after the other."""

    def __init__(self, ids: range, add_ids: Callable[[range, Sequence[int]], None]) -> None:
        self._left = ids
        self._add_ids = add_ids

    def __call__(self, count: int, dues_ns: Sequence[int]) -> None:
        ids, self._left = self._left[:count], self._left[count:]
        self._add_ids(ids, dues_ns)


def _wanted(loads: FileLoads, start_rate: float) -> list[tuple[range, Stages]]:
    """The ids of each group, and how many of them there are when."""
    wanted = []
    for one in loads.groups:
        stages = one.stages
        if stages is None:
            per_s = start_rate / 60
            # Where the start rate is 0 or infinite, its throttle is all that holds them.
            took_s = len(one.ids) / per_s if 0 < per_s < inf else 0.0
            stages = Stages((Stage(round(took_s * S_NS), Fraction(len(one.ids))),))
        if one.ids:
            wanted.append((one.ids, stages))
    return wanted
