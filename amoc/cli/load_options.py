"""The load that the options of a run describe: which scenarios, how many users, or at what rate."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from fractions import Fraction
from pathlib import Path

from amoc.base.errors import UsageError
from amoc.scenario import scenario_files
from amoc.scenario.arrivals import Arrivals
from amoc.scenario.load_profile import Stages


@dataclass(frozen=True)
class Load:
    """The load of a run; the fields are those of `amoc.scenario.run_plan.RunPlan`."""

    scenario: str
    users: range
    stages: Stages | None
    arrivals: Arrivals | None

    @property
    def total_s(self) -> float | None:
        """How long its stages last, if it has any."""
        if self.stages is not None:
            return self.stages.total_s
        return self.arrivals.total_s if self.arrivals is not None else None


def load_of(
    scenarios: Sequence[str],
    *,
    users: int | None,
    user_ids: range | None,
    stages: Stages | None,
    arrival_rate: Arrivals | None,
    max_users: int | None,
) -> Load:
    """The load that is described by scenarios and options, which are None if not given.

    Raises:
        UsageError: They contradict each other.
    """
    scenario, its_users, its_rate = _scenario(scenarios)
    if its_rate is not None and arrival_rate is not None:
        raise UsageError("--arrival-rate and rates of scenarios are mutually exclusive")
    arrivals = _arrivals(arrival_rate or its_rate, max_users)
    # Of several scenarios these are weights, where something else says how many users there are.
    by_weight = scenario_files.parts_of(scenario) and (stages or arrivals)
    if its_users and users is None and user_ids is None and not by_weight:
        users = its_users
    if arrivals is not None:
        given = {"--users": users, "--user-ids": user_ids, "--stages": stages}
        for option in (name for name, value in given.items() if value is not None):
            raise UsageError(
                f"--arrival-rate and {option} are mutually exclusive; give one of them"
            )
        return Load(scenario, range(1, 1), None, arrivals)
    ids = _ids(users, user_ids, stages)
    if stages is not None:
        stages = Stages(stages.stages, Fraction(len(ids)))
    return Load(scenario, ids, stages, None)


def _scenario(words: Sequence[str]) -> tuple[str, int, Arrivals | None]:
    """The scenario, or several as one text; how many users they have, or at what rate they start.

    Of both there is 0, and None, where nothing says so.
    """
    if len(words) == 1 and (Path(words[0]).exists() or "=" not in words[0]):
        return words[0], 0, None
    try:
        parts, rate = scenario_files.with_rate(words)
        if not rate:
            parts = (len(words) == 1 and scenario_files.parts_of(words[0])) or ()
            if not parts and len(words) == 1 and not scenario_files.part_of(words[0]):
                return words[0], 0, None
            parts = parts or scenario_files.check(words)
    except ValueError as error:
        raise UsageError(f"scenarios {error}") from None
    text = parts[0].source if len(parts) == 1 else scenario_files.text_of(parts)
    if rate:
        return text, 0, Arrivals.parse(rate)
    return text, sum(one.users for one in parts), None


def _arrivals(rate: Arrivals | None, max_users: int | None) -> Arrivals | None:
    if rate is None and max_users is not None:
        raise UsageError("--max-users requires --arrival-rate")
    return rate if rate is None or max_users is None else replace(rate, max_users=max_users)


def _ids(users: int | None, user_ids: range | None, stages: Stages | None) -> range:
    """The ids of the users at the start."""
    if user_ids is None:
        count = users if users is not None else 1 if stages is None else 0
        return range(1, count + 1)
    if users is not None:
        raise UsageError("--users and --user-ids are mutually exclusive; give one of them")
    return user_ids
