"""Scenarios for another load generator, for which amoc has a stand-in package.

The stand-in is imported by name, like a plugin: it depends on packages above this one, and
scenarios written for amoc never load it.
"""

from __future__ import annotations

import ast
import importlib
from collections.abc import Iterator, Sequence
from contextlib import AbstractContextManager
from pathlib import Path
from types import ModuleType
from typing import Final, Protocol, cast

from amoc.scenario.settings import Source

STAND_INS: Final = {"locust": "amoc.locust.stand_in"}
"""The module with the class `StandIn` for each package."""
REAL: Final = {"locust": ("real_locust", "amoc.locust.real")}
"""A setting that selects the package itself, and the module for that case."""


class StandIn(Protocol):
    """A replacement for a package while a scenario is imported."""

    def imported(self) -> AbstractContextManager[None]:
        """Return a context in which imports of the package find the replacement."""

    def scenario(self, module: ModuleType) -> ModuleType:
        """Return an amoc scenario that runs the module."""


def stand_in_for(path: Path, sources: Sequence[Source] = ()) -> StandIn | None:
    """Return the stand-in for a scenario file that imports such a package and has no `start`.

    Args:
        path: The file.
        sources: Raw settings in order of precedence, read here before the import.
    """
    try:
        source = path.read_bytes()
        if not any(name.encode() in source for name in STAND_INS):
            return None
        tree = ast.parse(source)
    except (OSError, SyntaxError, ValueError, RecursionError):
        return None  # its import will report the error
    if any(_binds_start(one) for one in tree.body):
        return None
    for name in _imported(tree):
        if name in STAND_INS:
            setting, real = REAL[name]
            where = real if _is_wanted(setting, sources) else STAND_INS[name]
            return cast("StandIn", importlib.import_module(where).StandIn())
    return None


def _is_wanted(setting: str, sources: Sequence[Source]) -> bool:
    given = (one.values[setting] for one in sources if setting in one.values)
    return next(given, False) in (True, "true")


def _binds_start(node: ast.stmt) -> bool:
    match node:
        case ast.FunctionDef(name="start") | ast.AsyncFunctionDef(name="start"):
            return not any(_listens(one) for one in node.decorator_list)
        case ast.Assign(targets=targets):
            return any(isinstance(one, ast.Name) and one.id == "start" for one in targets)
        case ast.ImportFrom(names=names) | ast.Import(names=names):
            return any((one.asname or one.name) == "start" for one in names)
    return False


def _listens(decorator: ast.expr) -> bool:
    """Return whether it is ``@events.test_start.add_listener``, of whichever event."""
    return isinstance(decorator, ast.Attribute) and decorator.attr == "add_listener"


def _imported(tree: ast.Module) -> Iterator[str]:
    """Return the packages imported anywhere in the module."""
    for node in ast.walk(tree):
        match node:
            case ast.Import(names=names):
                yield from (one.name.partition(".")[0] for one in names)
            case ast.ImportFrom(module=str(module), level=0):
                yield module.partition(".")[0]
