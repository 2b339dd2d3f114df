"""Several scenarios that run together, each with its own init(), users and terminate()."""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from types import ModuleType
from typing import cast

from amoc.base import context
from amoc.base.errors import ScenarioError, value_error_as
from amoc.scenario import loader
from amoc.scenario.facts import RunFacts
from amoc.scenario.file_loads import Assignment, FileLoads
from amoc.scenario.load_profile import Stages
from amoc.scenario.loader import Scenario
from amoc.scenario.mix import Mix
from amoc.scenario.scenario_files import JOINS, Part, parts_of
from amoc.scenario.settings import Source
from amoc.scenario.user_kinds import NamedStart, counter_of

_Assignment = Callable[[int, int], tuple[Sequence[int], Mix, int]]
"""The signature of `Assignment`."""


class StartOfScenarios(NamedStart):
    """Runs each user's scenario, which its number determines."""

    def __init__(
        self,
        names: Sequence[str],
        assignment: _Assignment,
        starts: Sequence[Callable[[int], object]],
        changing_rates: Sequence[Stages] = (),
    ) -> None:
        self.changing_rates = changing_rates
        self._names = names
        self._assignment = assignment
        self._starts = starts
        self._counters = [counter_of(name) for name in names]

    def __call__(self, user_id: int, rank: int = 0) -> object:
        """Run an iteration of a user."""
        parts, mix, place = self._assignment(user_id, rank)
        number = parts[mix.kind_of(place)]
        self._counters[number]()
        start = self._starts[number]
        if isinstance(start, NamedStart):
            return start(user_id, mix.rank_of(place))
        return start(user_id)

    def name_of(self, user_id: int, rank: int = 0) -> str:
        """Return the name of a user's scenario, with its kind if that has several."""
        parts, mix, place = self._assignment(user_id, rank)
        number = parts[mix.kind_of(place)]
        start, name = self._starts[number], self._names[number]
        if isinstance(start, NamedStart):
            return f"{name}: {start.name_of(user_id, mix.rank_of(place))}"
        return name


@dataclass(frozen=True)
class Joined(Scenario):
    """Several scenarios as one.

    Attributes:
        parts: The scenarios.
        assignment: Maps users to scenarios.
        changing_rates: See `FileLoads`.
    """

    parts: tuple[Scenario, ...]
    assignment: _Assignment
    changing_rates: Sequence[Stages] = ()

    def start_with(self, state: object) -> Callable[[int], object]:
        """Return the start() functions of all as one function of the user's id alone."""
        states = cast("Sequence[object]", state)
        starts = [one.start_with(its) for one, its in zip(self.parts, states, strict=True)]
        names = [one.name for one in self.parts]
        return StartOfScenarios(names, self.assignment, starts, self.changing_rates)

    def init(self) -> object:
        """Run each scenario's ``init``, in order."""
        return [one.init() for one in self.parts]

    def visible(self, state: object) -> dict[str, object]:
        """Return what users of each scenario can see, by name."""
        found = zip(self.parts, cast("Sequence[object]", state), strict=True)
        return {
            f"{part.name}: {name}": one
            for part, its in found
            for name, one in part.visible(its).items()
        }

    def terminate(self, state: object) -> None:
        """Run each scenario's ``terminate``, even if another one has failed."""
        problems = []
        for one, its in zip(self.parts, cast("Sequence[object]", state), strict=True):
            try:
                one.terminate(its)
            except ScenarioError as error:
                problems.append(str(error))
        if problems:
            raise ScenarioError("; ".join(problems))


def load(source: str, libraries: str = "", sources: Sequence[Source] = ()) -> Scenario:
    """Import the scenario `source`, or several, see `amoc.scenario.scenario_files`.

    The arguments and errors are those of `amoc.scenario.loader.load`.
    """
    parts = parts_of(source)
    if not parts:
        return loader.load(source, libraries, sources)
    return _join(source, parts, [_load(one, libraries, sources) for one in parts])


def _load(part: Part, libraries: str, sources: Sequence[Source]) -> Scenario:
    here = context.active()
    facts = context.find(RunFacts)
    if facts is not None:
        users = range(1, part.users + 1)
        here.set(RunFacts, facts._replace(users=users, is_part=True, scenario=part.source))
    try:
        return loader.load(part.source, libraries, sources)
    finally:
        here.set(RunFacts, facts)


def _assignment(loads: FileLoads | None, parts: Sequence[Part]) -> _Assignment:
    """Return the mapping of users to `parts`, which share all of them if they have no `loads`."""
    if loads is not None:
        return Assignment(loads)
    mix, every = Mix([one.users for one in parts]), range(len(parts))
    return lambda user_id, arrival: (every, mix, arrival or user_id)


def _join(source: str, parts: Sequence[Part], loaded: Sequence[Scenario]) -> Scenario:
    with value_error_as(ScenarioError, f"scenarios {source}: "):
        loads = FileLoads.of(source)
        assignment = _assignment(loads, parts)
    name = JOINS.join(one.name for one in loaded)
    module = ModuleType(name)
    if any(hasattr(one.module, "init") for one in loaded):
        vars(module)["init"] = None
    directories = [one.directory for one in loaded if one.directory]
    return Joined(
        name=name,
        source=source,
        directory=os.path.commonpath(directories) if directories else "",
        doc="\n".join(f"{one.name}: {one.doc}" for one in loaded if one.doc),
        module=module,
        parts=tuple(loaded),
        assignment=assignment,
        changing_rates=loads.changing_rates if loads is not None else (),
    )
