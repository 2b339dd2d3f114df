"""``amoc check``: loads a scenario, shows it, and can try it with one user."""

from __future__ import annotations

import os
from collections.abc import Mapping
from typing import TYPE_CHECKING
from urllib.parse import quote

import click
from click.core import ParameterSource

from amoc.base.errors import UsageError
from amoc.cli import dependencies as scenario_dependencies
from amoc.cli import load_options, run_options, server_option
from amoc.cli.option_groups import flag
from amoc.cli.param_types import MAX_ID, duration, whole
from amoc.cli.server_option import PARAMETERS
from amoc.install.choice import Choice
from amoc.scenario.scenario_files import parts_of

if TYPE_CHECKING:
    from amoc.client.rest_client import RestClient


@server_option.options
@click.command(short_help="Load a scenario and show its settings.")
@run_options.SCENARIOS
@run_options.SET
@run_options.AS_IN_LOCUST
@run_options.CONFIG
@run_options.UNDECLARED
@run_options.SEED
@scenario_dependencies.options
@flag(
    "--lock", help="Resolve the scenario's dependencies and write their lock file; do nothing else."
)
@flag("--run", "run_user", help="Run one iteration of one user, tracing its stanzas.")
@click.option(
    "--user-id", type=whole(1, MAX_ID), default=1, help="Id of the user of --run.  [default: 1]"
)
@click.option(
    "--for",
    "seconds",
    type=duration(),
    default=5.0,
    help="Stop the user of --run gracefully after this time.  [default: 5s]",
)
def check(
    scenarios: tuple[str, ...],
    pairs: tuple[str, ...],
    by_name: Mapping[str, tuple[str, object]],
    config: str | None,
    undeclared: bool,
    seed: int | None,
    run_user: bool,
    user_id: int,
    seconds: float,
    lock: bool,
    dependencies: Choice,
) -> None:
    """Load SCENARIO, and show its docstring and its settings with their values and sources.

    Several scenarios are shown as one, like a run of them all: amoc check buy.py=1 browse.py=9.

    Dependencies of the scenario are shown and installed; with --no-install they are only shown.
    """
    scenario = load_options.scenario_of(scenarios)
    if (server := server_option.server()) is not None:
        _check_at(server, click.get_current_context())
        return
    preparation = scenario_dependencies.preparation(scenario, dependencies)
    if lock:
        path = preparation.make_lock() if preparation is not None else None
        if path is None:
            raise UsageError(f"--lock: {scenario} has no dependencies, so there is nothing to lock")
        click.echo(str(path))
        return
    found = preparation.checked() if preparation is not None else None
    libraries = found.libraries if found is not None else ""
    known = found.dependencies if found is not None else ()
    from amoc.runtime.supervisor import monkey_patch

    monkey_patch.patch()
    from amoc.cli import checked_scenario, one_user
    from amoc.scenario import settings_sources

    sources = [
        *run_options.by_option(by_name, strict=not undeclared),
        *settings_sources.gather(pairs, os.environ, config, undeclared),
    ]
    checked_scenario.show_dependencies(known)
    loaded = checked_scenario.show(scenario, sources, libraries)
    if run_user:
        one_user.run_one(loaded, user_id, seed or 0, seconds)


_LOCAL_ONLY = {
    "--run": "it traces a user in this process; amoc run --server runs users on the server",
    "--lock": "it writes a file next to a scenario of this host",
    "--install-timeout": "amoc plan --install-timeout gives the server longer to install",
}
_ASKED = {"no_install": "install=false", "locked": "locked=true"}
"""Options that are also supported with --server, as query parameters."""


def _check_at(server: RestClient, context: click.Context) -> None:
    """Show the server's description of a scenario. A scenario that is a local file is uploaded.

    Raises:
        UsageError: An option does not apply to a server; the message says why.
    """
    from amoc.cli import checked_scenario
    from amoc.client.answers import ScenarioInfo
    from amoc.client.sending import name_on_server

    for parameter in context.command.params:
        given = context.get_parameter_source(str(parameter.name)) is ParameterSource.COMMANDLINE
        if not given or parameter.name in _ASKED:
            continue
        if isinstance(parameter, click.Option) and parameter not in PARAMETERS:
            flag = parameter.opts[0]
            why = _LOCAL_ONLY.get(flag, "the server shows defaults; amoc plan shows given values")
            raise UsageError(f"{flag} cannot be used with --server: {why}")
    given_here = load_options.scenario_of(context.params["scenarios"])
    there = name_on_server(server, given_here)
    query = "&".join(text for name, text in _ASKED.items() if context.params[name])
    for name in [one.source for one in parts_of(there)] or [there]:
        found = server.request("GET", f"/scenarios/info/{quote(name)}?{query}")
        checked_scenario.show_description(ScenarioInfo.of(found), str(server))
