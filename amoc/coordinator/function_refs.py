"""References to actions by name: how a plan that a user starts reaches the other workers.

A function cannot be sent, but its module and its name can.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Sequence
from importlib import import_module

from amoc.base import guard
from amoc.base.errors import ScenarioError
from amoc.coordinator.plan import Action, Item, Shape, form_of


def references(name: str, items: Sequence[Item]) -> list[list[str]]:
    """Return the actions of `items` as ``module:name``, for other workers to find.

    Raises:
        ScenarioError: An action is not a top-level function of a module.
    """
    return [[_reference(name, action.function) for action in item.actions] for item in items]


def _reference(name: str, function: Callable[..., object]) -> str:
    module = getattr(function, "__module__", None) or ""
    qualified = getattr(function, "__qualname__", None) or ""
    if getattr(sys.modules.get(module), qualified, None) is not function:
        raise ScenarioError(
            f"coordinator {name} is started by a user, so its actions must be top-level"
            f" functions of a module, but {qualified or function!r} is not; start it in init()"
            " to use any function"
        )
    return f"{module}:{qualified}"


def found(functions: Sequence[Sequence[str]]) -> list[Item]:
    """Resolve `references`' names; a function that does not exist here raises when called."""
    return [
        Item(Shape(0, 0, users=True), tuple(map(_find, references_))) for references_ in functions
    ]


def _find(reference: str) -> Action:
    module, _, name = reference.partition(":")
    problems: list[BaseException] = []

    def look() -> Callable[..., object]:
        return getattr(sys.modules.get(module) or import_module(module), name)  # type: ignore[no-any-return]

    function = guard.call(problems.append, look)
    if function is not None:
        return Action(function, form_of(function) or 1)

    def refuse(*_arguments: object) -> None:
        raise ScenarioError(f"this worker has no function {reference}: {problems[0]}")

    return Action(refuse, 1)
