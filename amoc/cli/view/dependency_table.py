"""The dependencies of a scenario, as a table."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from amoc.cli.view.console import console as make_console
from amoc.cli.view.console import table

if TYPE_CHECKING:
    from amoc.install.environment import Dependency

_STATES = {"amoc": "amoc has it", "installed": "installed", "missing": "would be installed"}


def show(dependencies: Sequence[Dependency]) -> None:
    """Print the table and an empty line, if there are dependencies."""
    if not dependencies:
        return
    rows = [(one.name, one.version, _STATES[one.state]) for one in dependencies]
    console = make_console(patient=False)
    console.print(table("dependency", "version", "state", rows=rows, right=3))
    console.print()
