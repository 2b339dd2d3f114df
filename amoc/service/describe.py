"""Description of a scenario, computed by a separate process that imports it."""

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
"""Time limit for installing dependencies; shorter than the server waits for this process."""


def scenario(source: str, *asked: str) -> dict[str, object]:
    """Return docstring, settings, thresholds and dependencies of a scenario file.

    Monkey-patches this process.

    Args:
        source: The file.
        asked: `NO_INSTALL`: do not install missing dependencies, only list them; ``problem`` then
            says why the scenario cannot be loaded. `LOCKED`: require locked dependencies.

    Raises:
        AmocError: The scenario cannot be loaded, or its dependencies cannot be installed.
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
    """Return the description of a setting, for operators who set it."""
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
    """Return the type of a setting as a JSON schema; empty if it has none."""
    from pydantic import TypeAdapter

    try:
        return plain(TypeAdapter(one.type).json_schema())
    except Exception:  # the scenario's own types may raise anything
        return {}


def remoteness(one: settings.AnySetting) -> int:
    """Return how far from the scenario a setting is declared: 0 in it, 2 in amoc's own settings."""
    own = (builtin_settings.__name__, exporter_settings.__name__)
    return 2 if one.module in own else int(one.module.startswith("amoc."))


if __name__ == "__main__":
    main_of(scenario)
