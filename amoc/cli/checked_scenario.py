"""A scenario loaded in this process, for ``amoc check`` and ``amoc plan``."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

from rich.table import Table
from rich.text import Text

from amoc.base.errors import ScenarioError
from amoc.cli.view.console import console as make_console
from amoc.cli.view.console import table
from amoc.feed import registry
from amoc.install.environment import Dependency
from amoc.results.thresholds import declared
from amoc.scenario import settings
from amoc.scenario.joined import load
from amoc.scenario.loader import Scenario
from amoc.scenario.resolving import resolve
from amoc.scenario.settings_sources import for_scenario
from amoc.service.describe import remoteness

if TYPE_CHECKING:
    from amoc.client.answers import ScenarioInfo

_STATES = {"amoc": "amoc has it", "installed": "installed", "missing": "would be installed"}


class Checked:
    """A scenario loaded in this process, with its settings resolved and applied."""

    def __init__(self, source: str, raw: Sequence[settings.Source], libraries: str = "") -> None:
        self.scenario: Scenario = load(source, libraries, raw)
        self.declared = settings.declared()
        self.expected = declared.declared()
        own = for_scenario(list(raw), self.scenario.name, self.declared)
        self.values: Mapping[str, settings.Value] = resolve(self.declared, own)
        settings.apply(self.values)
        registry.calls()  # raises if two feeds have the same name


def show(source: str, raw: Sequence[settings.Source], libraries: str = "") -> Checked:
    """Load the scenario and print its docstring, settings and thresholds.

    Args:
        source: The scenario, as the operator names it.
        raw: Sources of setting values.
        libraries: Directory of its installed dependencies.

    Raises:
        AmocError: The scenario cannot be run.
    """
    checked, rows = Checked(source, raw, libraries), []
    # The scenario's settings first, amoc's last.
    for one in sorted(checked.declared, key=remoteness):
        resolved = checked.values[one.name]
        text = settings.as_text(one.name, resolved) or "(empty)"
        rows.append((one.name, text, resolved.source, one.description))
    settings_shown = table("setting", "value", "from", "description", rows=rows, right=4)
    head, doc = f"scenario {checked.scenario.name} ({source})", checked.scenario.doc
    told = (f"threshold {text}" for text in checked.expected)
    _print(head, doc, settings_shown, [*told, *map(str, registry.declared())])
    return checked


def _print(head: str, doc: str, settings_shown: Table, told: Sequence[str]) -> None:
    console = make_console(patient=False)
    console.print(Text(head, style="bold"))
    if doc:
        console.print(Text(doc))
    console.print()
    console.print(settings_shown)
    for text in told:
        console.print(Text(text))


def show_dependencies(dependencies: Sequence[Dependency]) -> None:
    """Print a table of dependencies and an empty line, if there are any."""
    if not dependencies:
        return
    rows = [(one.name, one.version, _STATES.get(one.state, one.state)) for one in dependencies]
    console = make_console(patient=False)
    console.print(table("dependency", "version", "state", rows=rows, right=3))
    console.print()


def show_description(found: ScenarioInfo, where: str) -> None:
    """Print a scenario's description by the server at `where`.

    Raises:
        ScenarioError: The server could not load it because its dependencies are not installed.
    """
    show_dependencies([Dependency(one.name, one.version, one.state) for one in found.dependencies])
    if found.problem:
        raise ScenarioError(found.problem)
    rows = []
    for one in found.settings:
        default = "(required)" if one.required else json.dumps(one.default)
        choices = ", ".join(map(json.dumps, one.choices or ()))
        rows.append((one.name, default, choices, one.description))
    settings_shown = table("setting", "default", "choices", "description", rows=rows, right=4)
    head = f"scenario {found.name.rpartition('/')[2]} ({where})"
    told = [f"threshold {text}" for text in found.thresholds]
    _print(head, found.doc, settings_shown, told)
