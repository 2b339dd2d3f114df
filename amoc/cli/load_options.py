"""The load that a run's options describe: scenarios, and numbers of users or arrival rates."""

from __future__ import annotations

from collections.abc import Sequence
from fractions import Fraction
from pathlib import Path
from typing import NamedTuple

from amoc.base.errors import UsageError, value_error_as
from amoc.scenario import scenario_files
from amoc.scenario.arrivals import Arrivals
from amoc.scenario.file_loads import FileLoads
from amoc.scenario.load_profile import Stages

NAMES = ("scenarios", "users", "user_ids", "stages", "arrival_rate", "max_users")
"""The arguments of `load_of`, which are parameters of commands."""


class Load(NamedTuple):
    """The load of a run, as fields of `amoc.scenario.run_plan.RunPlan`."""

    scenario: str
    users: range
    stages: Stages | None
    arrivals: Arrivals | None
    loads: FileLoads | None = None

    @property
    def total_s(self) -> float | None:
        """Total duration of its stages; None without stages."""
        if self.loads is not None:
            return self.loads.total_s
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
    """Return the load that scenarios and options describe. Options that were not given are None.

    Raises:
        UsageError: They contradict each other.
    """
    scenario, its_users, its_stages, its_rate = _scenario(scenarios)
    values = {
        "--users": users,
        "--user-ids": user_ids,
        "--stages": stages,
        "--arrival-rate": arrival_rate,
    }
    given = [option for option, value in values.items() if value is not None]
    if (loads := _loads(scenario)) is not None or its_stages is not None:
        for option in given:
            raise UsageError(
                f"{option} and scenarios with their own stages or rates are mutually exclusive"
            )
    if loads is not None:
        its_rate = Arrivals.parse(loads.rate) if loads.rate else None
        return Load(scenario, loads.fixed, loads.stages, _arrivals(its_rate, max_users), loads)
    if its_rate is not None and arrival_rate is not None:
        raise UsageError("--arrival-rate and rates of scenarios are mutually exclusive")
    stages = stages or its_stages
    arrivals = _arrivals(arrival_rate or its_rate, max_users)
    # With several scenarios their counts are weights if stages or a rate set the number of users.
    by_weight = scenario_files.parts_of(scenario) and (stages or arrivals)
    if its_users and users is None and user_ids is None and not by_weight:
        users = its_users
    if arrivals is not None:
        for option in (one for one in given if one != "--arrival-rate"):
            raise UsageError(
                f"--arrival-rate and {option} are mutually exclusive; give one of them"
            )
        return Load(scenario, range(1, 1), None, arrivals)
    ids = _ids(users, user_ids, stages)
    if stages is not None:
        stages = Stages(stages.stages, Fraction(len(ids)))
    return Load(scenario, ids, stages, None)


def scenario_of(words: Sequence[str]) -> str:
    """Return the scenario in an operator's arguments, or several as one text. The load is ignored.

    Raises:
        UsageError: The arguments are invalid.
    """
    scenario, *_ = _scenario(words)
    _loads(scenario)
    return scenario


def _scenario(words: Sequence[str]) -> tuple[str, int, Stages | None, Arrivals | None]:
    """Return the scenario, or several as one text, and the number of users, stages or arrival rate.

    The number is 0 and the others are None where the arguments do not set them for all scenarios.
    """
    if len(words) == 1:
        whole = words[0]
        several = scenario_files.parts_of(whole)
        if Path(whole).exists() or not (several or scenario_files.part_of(whole)):
            return whole, 0, None, None
        words = [f"{one.source}={one.load}" for one in several] or words
    with value_error_as(UsageError, "scenarios "):
        parts = scenario_files.check(words)
        weighted, rate = scenario_files.with_rate(parts)
        text = scenario_files.text_of(weighted or parts)
        if len(parts) == 1:
            (one,) = parts
            text = one.source
            if not rate and not one.is_count:
                if one.is_rate:
                    return text, 0, None, Arrivals.parse(one.load)
                return text, 0, Stages.parse(one.load), None
    if rate:
        return text, 0, None, Arrivals.parse(rate)
    return text, sum(one.users for one in parts), None, None


def _loads(scenario: str) -> FileLoads | None:
    """Return the loads that scenarios set for themselves; None if they set none.

    Raises:
        UsageError: One is invalid.
    """
    with value_error_as(UsageError, "scenarios "):
        return FileLoads.of(scenario)


def _arrivals(rate: Arrivals | None, max_users: int | None) -> Arrivals | None:
    if rate is None and max_users is not None:
        raise UsageError("--max-users requires --arrival-rate")
    return rate if rate is None or max_users is None else rate._replace(max_users=max_users)


def _ids(users: int | None, user_ids: range | None, stages: Stages | None) -> range:
    """Return the ids of the initial users."""
    if user_ids is None:
        count = users if users is not None else 1 if stages is None else 0
        return range(1, count + 1)
    if users is not None:
        raise UsageError("--users and --user-ids are mutually exclusive; give one of them")
    return user_ids
