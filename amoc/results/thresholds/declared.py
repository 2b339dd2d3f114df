"""`expect`: how a scenario declares thresholds.

    amoc.expect("message_ttd.p99 < 200ms")

Call it at a module's top level, like declarations of settings, so that thresholds are known before
the run starts. Invalid ones are reported together, once the scenario has been imported.
"""

from __future__ import annotations

import sys
import types
from collections.abc import Mapping
from pathlib import Path
from typing import NamedTuple

from amoc.base.errors import ScenarioError
from amoc.scenario import settings


class _Declaration(NamedTuple):
    text: str
    module: str
    file: str
    line: int


_declarations: list[_Declaration] = []


def expect(text: str) -> None:
    """Declare a threshold: a pass/fail criterion for the run.

    Args:
        text: Such as ``message_ttd.p99 < 200ms``; for the syntax, see docs/thresholds.md.

    Raises:
        ScenarioError: Called by a user or by init(), which is too late.
    """
    caller = sys._getframe(1)
    where = f"{Path(caller.f_code.co_filename).name}:{caller.f_lineno}"
    if settings.in_force():
        raise ScenarioError(
            f"expect must be called at a module's top level, before the run begins ({where})"
        )
    module = caller.f_globals.get("__name__", "")
    _declarations.append(_Declaration(text, module, caller.f_code.co_filename, caller.f_lineno))


def declared(modules: Mapping[str, types.ModuleType] | None = None) -> list[str]:
    """Return the thresholds of the imported modules, in order, without duplicates.

    Raises:
        ScenarioError: Some are invalid; one line for each.
    """
    modules = sys.modules if modules is None else modules
    if not _declarations:
        return []
    from amoc.results.thresholds import threshold

    found: dict[str, None] = {}
    problems = []
    for one in _declarations:
        module = modules.get(one.module)
        if module is None or getattr(module, "__file__", None) not in (one.file, None):
            continue  # declared by a module that has been replaced since
        try:
            found[threshold.parse(one.text, f"{Path(one.file).name}:{one.line}").text] = None
        except ValueError as error:
            problems.append(str(error))
    if problems:
        raise ScenarioError("\n".join(dict.fromkeys(problems)))
    return list(found)
