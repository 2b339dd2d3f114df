"""What to run: the whole plan of a run, before it begins. Pure."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from math import ceil, floor
from typing import Any

from amoc.scenario.load_profile import Stages

ROOM_FOR_IDS = 1_000_000
"""Users that can be added during a run, on top of those that its plan needs."""


@dataclass(frozen=True)
class RunPlan:
    """What to run.

    Attributes:
        scenario: A path to a Python file, or a module's name.
        users: The ids of the users.
        duration_s: When the users are asked to finish; None means when all have left by themselves.
        sources: Raw settings, strongest first, as `amoc.scenario.settings.Source`.
        stages: How many users there are to be when, instead of all of `users`.
        rates: The rate of a throttle instead of the one that the scenario gives it, as text.
        run_directory: Where the run's records go; None means a new one below ``amoc-runs``.
        timeline: Commands that are given at their times: seconds since the first user could start,
            the command's name, its arguments.
        warmup_s: How much of the beginning is left out of the verdict. expectations: What the
        operator wants of the figures, see `amoc.results.thresholds.threshold`; the scenario
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
