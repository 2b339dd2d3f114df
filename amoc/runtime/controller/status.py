"""Records of a run: what is run, its state, how it ended."""

from __future__ import annotations

from collections import deque
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import NamedTuple

from amoc.base.errors import ExitCode
from amoc.ipc.messages.lifecycle import Loaded
from amoc.results.merge import SampleMerger
from amoc.results.run_totals import RunTotals
from amoc.results.series import GONE, Point
from amoc.results.summary_types import Summary
from amoc.results.thresholds.threshold import Result
from amoc.runtime.controller.run_state import State
from amoc.scenario.run_plan import RunPlan

EVENTS_KEPT = 100
POINTS_KEPT = 20
"""More than the last ten seconds that views show; with a thousand timers each takes 200 kB."""


class OperatorEvent(NamedTuple):
    """An event for people to read."""

    at_s: float
    level: str
    text: str


@dataclass
class Status:
    """The state of the run; what every view shows.

    Attributes:
        run_id: The run's id.
        elapsed_s: Seconds since the first user could start.
        paused_s: How much of that the run was paused.
        added: Users added so far, without those withdrawn before they started.
        loaded: What all nodes have loaded, see `amoc.runtime.controller.agreement`.
        nodes: What each node has loaded, by its name.
        targets: What it tests, as far as known.
        samples: The nodes' latest samples.
        totals: The sum of all seconds.
        points: The last seconds, newest last.
        thresholds: The text of each threshold, and its result so far.
    """

    state: State = State.IDLE
    run_id: str = ""
    added: int = 0
    plan: RunPlan | None = None
    loaded: Loaded | None = None
    nodes: Mapping[str, Loaded] = field(default_factory=dict)
    elapsed_s: float = 0.0
    paused_s: float = 0.0
    targets: Sequence[str] = ()
    samples: SampleMerger = field(default_factory=SampleMerger)
    totals: RunTotals = field(default_factory=RunTotals)
    points: deque[Point] = field(default_factory=lambda: deque(maxlen=POINTS_KEPT))
    thresholds: Sequence[tuple[str, Result]] = ()
    events: deque[OperatorEvent] = field(default_factory=lambda: deque(maxlen=EVENTS_KEPT))

    @property
    def users(self) -> Mapping[str, int]:
        """Number of users in each state; all states are from the same sample."""
        users = self.samples.users()
        there = users["running"] + sum(users[name] for name in GONE)
        return {**users, "waiting": max(0, self.added - there)}


class Outcome(NamedTuple):
    """How the run ended.

    Attributes:
        exit_code: The exit code for the process.
        message: What went wrong, in one line; empty if nothing did.
        summary: See `docs/summary.md`; None if no user could start.
    """

    exit_code: ExitCode
    message: str
    summary: Summary | None
