"""A run as records: what is to be run, how it is, how it ended."""

from __future__ import annotations

from collections import deque
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from math import ceil, floor
from typing import Any

from amoc.engine.state import State
from amoc.errors import ExitCode
from amoc.expectations import Result
from amoc.figures import Figures
from amoc.messages import Loaded
from amoc.series import Point, Tally
from amoc.stages import Stages

EVENTS_KEPT = 100
POINTS_KEPT = 60
ROOM_FOR_IDS = 1_000_000
"""Users that can be added during a run, on top of those that its plan needs."""


@dataclass(frozen=True)
class RunPlan:
    """What to run.

    Attributes:
        scenario: A path to a Python file, or a module's name.
        users: The ids of the users.
        duration_s: When the users are asked to finish; None means when all have left by themselves.
        sources: Raw settings, strongest first, as `amoc.settings.Source`.
        stages: How many users there are to be when, instead of all of `users`.
        rates: The rate of a throttle instead of the one that the scenario gives it, as text.
        run_directory: Where the run's records go; None means a new one below ``amoc-runs``.
        timeline: Commands that are given at their times: seconds since the first user could start,
            the command's name, its arguments.
        warmup_s: How much of the beginning is left out of the verdict.
        expectations: What the operator wants of the figures, see `amoc.expectations`; the scenario
            may want more.
        abort_after_s: When an expectation has failed for so long the run ends; None means never.
        limited_ok: Whether a run whose generator was too slow may exit with 0.
        log_level: The least that goes into the logs.
    """

    scenario: str
    users: range
    duration_s: float | None
    sources: Sequence[tuple[str, Mapping[str, Any], bool]]
    seed: int
    comment: str
    init_timeout_s: float
    stop_timeout_s: float
    stages: Stages | None = None
    rates: Mapping[str, str] = field(default_factory=dict)
    run_directory: str | None = None
    timeline: Sequence[tuple[float, str, Mapping[str, Any]]] = ()
    warmup_s: float = 0.0
    expectations: Sequence[str] = ()
    abort_after_s: float | None = None
    limited_ok: bool = False
    log_level: str = "info"

    @property
    def most_users(self) -> int:
        """How many users there are at once at the most, by the plan."""
        return max(len(self.users), self.stages.highest if self.stages is not None else 0)

    @property
    def planned_ids(self) -> range:
        """The numbers of all users of the plan: those of its start, and those that stages add.

        Numbers go on from the highest one; that of a user who was removed does not come back.
        """
        rises = 0
        for leg in self.stages.legs() if self.stages is not None else ():
            rises += max(0, ceil(leg.target) - floor(leg.before))
        return range(self.users.start, self.users.stop + rises)

    @property
    def ids(self) -> range:
        """The numbers that users can have: those of the plan, and room for more."""
        planned = self.planned_ids
        return range(planned.start, planned.stop + ROOM_FOR_IDS)


@dataclass(frozen=True)
class Happening:
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
        points: The last seconds, the newest last.
        total: The sum of all seconds.
        expectations: What has come of each so far: its text, and the result.
    """

    state: State = State.IDLE
    run_id: str = ""
    added: int = 0
    plan: RunPlan | None = None
    loaded: Loaded | None = None
    elapsed_s: float = 0.0
    paused_s: float = 0.0
    figures: Figures = field(default_factory=Figures)
    points: deque[Point] = field(default_factory=lambda: deque(maxlen=POINTS_KEPT))
    total: Tally = field(default_factory=Tally)
    expectations: Sequence[tuple[str, Result]] = ()
    events: deque[Happening] = field(default_factory=lambda: deque(maxlen=EVENTS_KEPT))

    @property
    def waiting(self) -> int:
        """Users that have not started yet, or not again, by the same sample as the rest."""
        figures = self.figures
        there = figures.running + figures.finished + figures.removed
        return max(0, self.added - there)


@dataclass(frozen=True)
class Outcome:
    """How the run ended.

    Attributes:
        exit_code: What the process should exit with.
        message: What went wrong, in one line; empty when nothing did.
        summary: As in `docs/summary.md`; None when no user could start.
    """

    exit_code: ExitCode
    message: str
    summary: dict[str, Any] | None
