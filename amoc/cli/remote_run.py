"""``amoc run``, ``plan`` and ``replay`` with ``--server URL``: executed there, displayed here.

Options become fields of the request bodies (`amoc.service.start_bodies`). Options without a field
are refused.
"""

from __future__ import annotations

import shlex
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, NoReturn

import click
from click.core import ParameterSource

from amoc.base.errors import UsageError
from amoc.base.json_plain import JsonObject
from amoc.cli import attach, load_options, server_option
from amoc.cli.messages import say
from amoc.cli.run_data import output_json
from amoc.client import sending
from amoc.results.run_list import QUEUED
from amoc.scenario import scenario_files
from amoc.service.start_bodies import Options, PlanBody, RepeatBody

if TYPE_CHECKING:
    from amoc.client.rest_client import RestClient

_TAKEN = {"scenarios", "run_directory", "pairs", "typed", "json_file", "only_plan"}
"""Parameters that are not sent as fields of their own."""
_LOCAL_ONLY = {
    "--run-dir": "the server names the directories of its runs",
    **dict.fromkeys(
        (
            *("--secret-file", "--bind", "--advertise", "--join-timeout", "--remote-amoc"),
            "--max-nodes",
        ),
        "the nodes of runs on a server are configured by its operator",
    ),
    "--config": "the server reads amoc.toml in its own directory; --set sends values from here",
}
_FRACTIONS = ("spawn_rate",)
"""Fields that are numbers. Other fractions are durations, which are sent as text."""


def execute(server: RestClient, context: click.Context) -> NoReturn:
    """Start the run that the options describe, show it until it ends, and exit with its code.

    A scenario that is a local file is uploaded first, with its directory.
    """
    _show(server, context, "start", _with_load(server, context))


def preview(server: RestClient, context: click.Context) -> JsonObject:
    """Return the server's preview of the run that the options describe.

    A scenario that is a local file is uploaded first, with its directory.
    """
    found = server.request("POST", "/execution/plan", _with_load(server, context))
    given = shlex.join(context.params["scenarios"])
    return {**found, "scenario": given}  # its path on the server means nothing here


def replay(server: RestClient, context: click.Context) -> NoReturn:
    """Repeat a run of the server, show it until it ends, and exit with its code."""
    _show(server, context, "replay", _repeated(context))


def preview_replay(server: RestClient, context: click.Context) -> JsonObject:
    """Return the server's preview of a repeated run."""
    found = server.request("POST", "/execution/plan_replay", _repeated(context))
    return {**found, "scenario": scenario_files.file_names(found["scenario"])}


def _repeated(context: click.Context) -> JsonObject:
    return {**body_of(context, RepeatBody), "run": context.params["run_directory"]}


def _show(server: RestClient, context: click.Context, how: str, body: JsonObject) -> NoReturn:
    """Start a run, show it until it ends, and exit with its code."""
    from amoc.runtime.supervisor import monkey_patch

    monkey_patch.patch()
    may_wait = {"queue": True} if server_option.may_wait() else {}
    started = server.request("PATCH", f"/execution/{how}", {**body, **may_wait})
    for note in started["notes"]:
        say(note)
    waits = " waits until earlier runs are over" if started["state"] == QUEUED else ""
    ends = f"amoc stop --run {started['run']}" if waits else "amoc stop"
    say(f"run {started['run']} at {server}{waits}; Ctrl-C detaches, {ends} ends it")
    file = context.params["json_file"]

    def write(summary: object) -> None:
        if file is not None:
            output_json(summary, file)

    sys.exit(attach.follow(attach.RemoteRun(server, started["run"]), write))


def body_of(context: click.Context, kind: type[Options]) -> dict[str, object]:
    """Return the given options as fields of a request body.

    Raises:
        UsageError: The server does not support an option; the message says why.
    """
    fields = kind.flags()
    body: dict[str, object] = {}
    for parameter in context.command.params:
        name = str(parameter.name)
        given = context.get_parameter_source(name) is ParameterSource.COMMANDLINE
        if not given or name in _TAKEN or not parameter.expose_value:
            continue
        field = next((fields[flag] for flag in parameter.opts if flag in fields), None)
        if field is None:
            flag = parameter.opts[0]
            why = _LOCAL_ONLY.get(flag, "the server does not support it")
            raise UsageError(f"{flag} cannot be used with --server: {why}")
        value = _as_json(field, context.params[name])
        body[field] = by_name(value) if field == "throttles" else value
    settings = {**context.params["typed"], **by_name(context.params["pairs"])}
    return {**body, "settings": settings} if settings else body


def by_name(pairs: object) -> dict[str, str]:
    """Return ``NAME=VALUE`` texts as a dictionary."""
    assert isinstance(pairs, list | tuple)
    return {name.strip(): text for name, _, text in (str(one).partition("=") for one in pairs)}


def _as_json(field: str, value: object) -> object:
    """Return an option's value as the server expects it: as text, unless it is a number or flag."""
    if isinstance(value, bool | int) or field in _FRACTIONS:
        return value
    if isinstance(value, float):
        return f"{value:.9g}s"
    if isinstance(value, range):
        return f"{value[0]}-{value[-1]}"
    if isinstance(value, Mapping):
        return dict(value)
    return list(value) if isinstance(value, tuple) else str(value)


def _with_load(server: RestClient, context: click.Context) -> JsonObject:
    """Return the body for a scenario, or several with their loads, after uploading local files.

    Raises:
        UsageError: The load is invalid; nothing was sent.
    """
    body = body_of(context, PlanBody)
    words: tuple[str, ...] = context.params["scenarios"]
    load_options.load_of(**{name: context.params[name] for name in load_options.NAMES})
    text = shlex.join(words) if len(words) > 1 else words[0]
    alone = scenario_files.part_of(text) if not scenario_files.parts_of(text) else None
    if alone is not None and not Path(text).exists():
        kind = "users" if alone.is_count else "arrival_rate" if alone.is_rate else "stages"
        text, body = alone.source, {kind: alone.users or alone.load, **body}
    return {**body, "scenario": sending.name_on_server(server, text)}
