"""``amoc replay``: repeats an earlier run."""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import replace

import click

from amoc.cli import cluster, completion, plan, run, run_options, server_option, setting_values
from amoc.cli import dependencies as scenario_dependencies
from amoc.cli.cluster import Reach
from amoc.cli.json_option import JsonCommand
from amoc.cli.messages import say
from amoc.cli.option_groups import flag
from amoc.install.choice import Choice
from amoc.scenario.settings_sources import pairs_of


@server_option.options
@server_option.queue
@click.command(cls=JsonCommand, short_help="Repeat an earlier run.")
@click.argument("run_directory", metavar="RUN_DIR", shell_complete=completion.runs)
@run_options.RUN_DIRECTORY
@run_options.SET
@setting_values.JSON
@click.option("--comment", help="Comment to store with the run.  [default: the same]")
@flag("--plan", "only_plan", help="Only preview the run.")
@scenario_dependencies.options
@cluster.options
@run_options.JSON_FILE
def replay(
    run_directory: str,
    new_directory: str | None,
    pairs: tuple[str, ...],
    typed: Mapping[str, object],
    comment: str | None,
    only_plan: bool,
    json_file: str | None,
    dependencies: Choice,
    reach: Reach,
) -> None:
    """Repeat the run in RUN_DIR with the same users, seed, stages, rates and settings.

    Commands that the run received are repeated at the same times. Secrets are not stored, so give
    them again, with AMOC_NAME, --set-from-file or --set NAME=@-.
    """
    if (server := server_option.server()) is not None:
        from amoc.cli import remote_run

        context = click.get_current_context()
        if only_plan:
            plan.put_out(remote_run.preview_replay(server, context), json_file)
            return
        remote_run.replay(server, context)
    from amoc.results import replay as replaying
    from amoc.results import run_directory as rundir

    directory = rundir.locate(run_directory, what="RUN_DIR")
    given = {**typed, **pairs_of("--set", pairs)}
    again = replaying.prepare(directory, given, os.environ, say)
    again = replace(again, run_directory=new_directory)
    if comment is not None:
        again = replace(again, comment=comment)
    if only_plan:
        plan.show(again, json_file, dependencies)
    else:
        run.execute(again, json_file, dependencies, reach)
