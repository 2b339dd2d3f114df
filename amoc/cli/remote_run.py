"""``amoc run --server URL``: the run is the daemon's, and is shown here."""

from __future__ import annotations

import json
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, NoReturn

import click
from click.core import ParameterSource

from amoc.base.errors import UsageError
from amoc.cli import attach
from amoc.cli.messages import say
from amoc.cli.run_data import output
from amoc.service.requests import StartBody

if TYPE_CHECKING:
    from amoc.client.http_line import Line

_TAKEN = {"scenarios", "pairs", "typed", "json_file"}
"""Parameters of ``amoc run`` that are no options of the daemon's run."""


def execute(server: Line, context: click.Context) -> NoReturn:
    """Start the run that the options describe, show it to its end, and exit with its code.

    A scenario that is a file here is uploaded before.
    """
    body = body_of(context)
    from amoc.runtime.supervisor import monkey_patch

    monkey_patch.patch()
    started = server.ask("PATCH", "/execution/start", {**body, "scenario": _named(server, context)})
    say(f"run {started['run']} at {server}; Ctrl-C leaves it, amoc stop ends it")
    file = context.params["json_file"]

    def write(summary: object) -> None:
        if file is not None:
            output([json.dumps(summary, indent=1, allow_nan=False)], file)

    sys.exit(attach.follow(attach.RemoteRun(server, started["run"]), write))


def body_of(context: click.Context) -> dict[str, object]:
    """What the daemon is asked for, but the scenario.

    Raises:
        UsageError: An option was given that is for runs of this directory.
    """
    fields = {}
    for name, one in StartBody.model_fields.items():
        if isinstance(one.json_schema_extra, dict):
            fields[str(one.json_schema_extra["x-option"])] = name
    body: dict[str, object] = {}
    for parameter in context.command.params:
        name = str(parameter.name)
        given = context.get_parameter_source(name) is ParameterSource.COMMANDLINE
        if not given or name in _TAKEN or not parameter.expose_value:
            continue
        field = next((fields[flag] for flag in parameter.opts if flag in fields), None)
        if field is None:
            raise UsageError(f"{parameter.opts[0]} is for runs of this directory, not of --server")
        value = _as_json(context.params[name])
        body[field] = _by_name(value) if field == "throttles" else value
    settings = {**context.params["typed"], **_by_name(context.params["pairs"])}
    return {**body, "settings": settings} if settings else body


def _by_name(pairs: object) -> dict[str, str]:
    assert isinstance(pairs, list | tuple)
    return {name.strip(): text for name, _, text in (str(one).partition("=") for one in pairs)}


def _as_json(value: object) -> object:
    """The value of an option as the daemon takes it: as text where it is not a number or a flag."""
    if isinstance(value, bool | int):
        return value
    if isinstance(value, float):
        return f"{value:.9g}s"  # all of them are durations
    if isinstance(value, range):
        return f"{value[0]}-{value[-1]}"
    if isinstance(value, Mapping):
        return dict(value)
    return list(value) if isinstance(value, tuple) else str(value)


def _named(server: Line, context: click.Context) -> str:
    """The scenario's name at the daemon."""
    scenario, *more = map(str, context.params["scenarios"])
    if more:
        raise UsageError(
            "--server takes one scenario; amoc.users can be several kinds of users in it"
        )
    path = Path(scenario)
    if not path.is_file():
        return scenario.removesuffix(".py")
    server.fetch("PUT", f"/scenarios/upload?name={path.stem}", path.read_bytes(), "text/x-python")
    return path.stem
