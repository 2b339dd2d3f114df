"""``amoc plan``: loads a scenario, as ``amoc check`` does, and previews its run."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import click

from amoc.base.json_plain import JsonObject
from amoc.cli import dependencies as scenario_dependencies
from amoc.cli import run_options, server_option
from amoc.cli.json_option import JsonCommand, json_option
from amoc.cli.run_data import output_json
from amoc.install.choice import Choice
from amoc.scenario.run_plan import RunPlan

if TYPE_CHECKING:
    from amoc.cli.preview import Host


@server_option.options
@click.command(cls=JsonCommand, short_help="Preview a run without running it.")
@run_options.options
@scenario_dependencies.options
@json_option("the preview")
def plan(
    json_file: str | None,
    dependencies: Choice,
    **given: Any,  # for `run_options.plan`
) -> None:
    """Show what a run of SCENARIO would do and when, without running it."""
    if (server := server_option.server()) is not None:
        from amoc.cli import remote_run

        put_out(remote_run.preview(server, click.get_current_context()), json_file)
        return
    show(run_options.plan(**given), json_file, dependencies)


def show(run_plan: RunPlan, json_file: str | None, dependencies: Choice) -> None:
    """Load the plan's scenario and print a preview, as JSON to `json_file` if given.

    Raises:
        AmocError: `amoc run` would refuse to start, for the same reason.
    """
    run_plan = scenario_dependencies.prepared(run_plan, dependencies)
    from amoc.runtime.supervisor import monkey_patch

    monkey_patch.patch()
    from amoc.cli.preview import preview

    put_out(preview(run_plan, _host(run_plan)), json_file)


def put_out(found: JsonObject, json_file: str | None) -> None:
    """Print a preview, as JSON to `json_file` if given."""
    if json_file is not None:
        output_json(found, json_file)
        return
    from amoc.cli.view import preview_table
    from amoc.cli.view.console import console as make_console

    console = make_console(patient=False)
    for part in preview_table.parts(found):
        console.print(part)


def _host(run_plan: RunPlan) -> Host:
    """Load the scenario and resolve its settings."""
    from amoc.base import process
    from amoc.cli.checked_scenario import Checked
    from amoc.cli.preview import Host
    from amoc.scenario import builtin_settings, fd_budget, settings

    checked = Checked(run_plan.scenario, run_plan.sources, run_plan.libraries)
    return Host(
        settings=[
            {
                "name": one.name,
                "value": settings.as_text(one.name, checked.values[one.name]),
                "from": checked.values[one.name].source,
            }
            for one in checked.declared
        ],
        workers=builtin_settings.workers.get(),
        interarrival_ms=builtin_settings.interarrival.get(),
        user_rate=builtin_settings.user_rate.get(),
        repeat_num=builtin_settings.repeat_num.get(),
        repeat_interval_s=builtin_settings.repeat_interval.get() / 1000,
        fds_per_user=fd_budget.fds_per_user(),
        fd_limit=process.raise_fd_limit(),
        has_init=hasattr(checked.scenario.module, "init"),
    )
