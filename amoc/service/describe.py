"""What a scenario says of itself, found out by a process that imports it."""

from __future__ import annotations

from dataclasses import asdict

from amoc.base.errors import ScenarioError
from amoc.base.json_plain import plain
from amoc.base.redaction import HIDDEN, hide, is_secret
from amoc.install.choice import LOCKED, NO_INSTALL, Choice
from amoc.install.environment import MISSING, Preparation
from amoc.results.exporters import settings as exporter_settings
from amoc.results.thresholds import declared as thresholds
from amoc.runtime.supervisor import monkey_patch
from amoc.scenario import builtin_settings, settings
from amoc.scenario.loader import load
from amoc.service.isolated_main import main_of

INSTALL_S = 25.0
"""How long installing what a scenario depends on may take: less than the server waits for us."""


def scenario(source: str, *asked: str) -> dict[str, object]:
    """The docstring, settings, thresholds and dependencies of the scenario in a file.

    This process is patched for it.

    Args:
        source: The file.
        asked: `NO_INSTALL`: what it depends on is not installed, where it is not there, but shown;
            ``problem`` says why it cannot be loaded then. `LOCKED`: it must be locked.

    Raises:
        AmocError: It cannot be loaded, or what it depends on not be had.
    """
    choice = Choice(NO_INSTALL not in asked, LOCKED in asked, INSTALL_S)
    environment = Preparation(source, choice, lambda _: None).checked()
    problem = doc = ""
    monkey_patch.patch()
    try:
        doc = load(source, environment.libraries).doc
    except ScenarioError as error:
        if all(one.state != MISSING for one in environment.dependencies):
            raise
        problem = str(error)
    return {
        "doc": doc,
        "settings": [setting(one) for one in sorted(settings.declared(), key=remoteness)],
        "thresholds": [str(one) for one in thresholds.declared()],
        "dependencies": [asdict(one) for one in environment.dependencies],
        "problem": problem,
    }


def setting(one: settings.AnySetting) -> dict[str, object]:
    """A setting for people who are to give it a value."""
    value = one.preset().value
    required = value is settings.MISSING
    choices = one.verify if one.verify is not None and not callable(one.verify) else None
    return {
        "name": one.name,
        "description": one.description,
        "module": one.module,
        "own": not remoteness(one),
        "type": _schema(one),
        "choices": None if choices is None else plain(list(choices)),
        "required": required,
        "default": None if required else HIDDEN if is_secret(one.name) else plain(hide(value)),
        "secret": is_secret(one.name),
        "update": one.update if isinstance(one.update, str) else "function",
    }


def _schema(one: settings.AnySetting) -> object:
    """The type of a setting as a JSON schema; an empty one where there is none for it."""
    from pydantic import TypeAdapter

    try:
        return plain(TypeAdapter(one.type).json_schema())
    except Exception:  # a type of the scenario's own, with whatever it raises
        return {}


def remoteness(one: settings.AnySetting) -> int:
    """How far from the scenario a setting is declared."""
    own = (builtin_settings.__name__, exporter_settings.__name__)
    return 2 if one.module in own else int(one.module.startswith("amoc."))


if __name__ == "__main__":
    main_of(scenario)
