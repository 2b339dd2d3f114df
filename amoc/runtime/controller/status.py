"""A run as records: what is to be run, how it is, how it ended."""

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
"""More than views show, which is the last ten seconds; with a thousand timers each takes 200 kB."""


class OperatorEvent(NamedTuple):
    """Something that happened, for people to read."""

    at_s: float
    level: str
    text: str


@dataclass
class Status:
    """How the run is; what every view shows.

    Attributes:
        run_id: The run's name.
        elapsed_s: Since the first user could start.
        paused_s: How much of that the run was paused.
        added: Users that were to run so far, without those that were taken back before they did.
        loaded: What all nodes have loaded, see `amoc.runtime.controller.agreement`.
        nodes: What each has loaded, by its name.
        samples: What the nodes said last.
        totals: The sum of all seconds.
        points: The last seconds, the newest last.
        thresholds: Each one's text, and what came of it so far.
    """

    state: State = State.IDLE
    run_id: str = ""
    added: int = 0
    plan: RunPlan | None = None
    loaded: Loaded | None = None
    nodes: Mapping[str, Loaded] = field(default_factory=dict)
    elapsed_s: float = 0.0
    paused_s: float = 0.0
    samples: SampleMerger = field(default_factory=SampleMerger)
    totals: RunTotals = field(default_factory=RunTotals)
    points: deque[Point] = field(default_factory=lambda: deque(maxlen=POINTS_KEPT))
    thresholds: Sequence[tuple[str, Result]] = ()
    events: deque[OperatorEvent] = field(default_factory=lambda: deque(maxlen=EVENTS_KEPT))

    @property
    def users(self) -> Mapping[str, int]:
        """How many there are of each of `USERS`; those that wait by the same sample as the rest."""
        users = self.samples.users()
        there = users["running"] + sum(users[name] for name in GONE)
        return {**users, "waiting": max(0, self.added - there)}


class Outcome(NamedTuple):
    """How the run ended.

    Attributes:
        exit_code: What the process should exit with.
        message: What went wrong, in one line; empty when nothing did.
        summary: As in `docs/summary.md`; None when no user could start.
    """

    exit_code: ExitCode
    message: str
    summary: Summary | None
