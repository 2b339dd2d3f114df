"""``amoc run``: runs a scenario, shows the run, and exits with its code."""

from __future__ import annotations

import sys
from typing import Any, NoReturn

import click

from amoc.base import early_interrupt
from amoc.base.errors import AmocError
from amoc.cli import cluster, run_options, server_option
from amoc.cli import dependencies as scenario_dependencies
from amoc.cli.cluster import Reach
from amoc.cli.json_option import JsonCommand
from amoc.cli.messages import say
from amoc.cli.run_data import output_json
from amoc.install.choice import Choice
from amoc.scenario.run_plan import RunPlan


@server_option.options
@server_option.queue
@click.command(cls=JsonCommand, short_help="Run a scenario.")
@run_options.options
@scenario_dependencies.options
@cluster.options
@run_options.JSON_FILE
def run(
    json_file: str | None,
    dependencies: Choice,
    reach: Reach,
    **given: Any,  # for `run_options.plan`
) -> None:
    """Run SCENARIO, a Python file or an importable module.

    Without --duration the run ends when all users have finished, or with --stages after the last
    stage. Ctrl-C stops the run gracefully, a second Ctrl-C at once. Control the run with keys
    (? lists them) or from another shell: amoc status, add, remove, set, pause and others.
    """
    if (server := server_option.server()) is not None:
        from amoc.cli import remote_run

        remote_run.execute(server, click.get_current_context())
    execute(run_options.plan(**given), json_file, dependencies, reach)


def execute(plan: RunPlan, json_file: str | None, dependencies: Choice, reach: Reach) -> NoReturn:
    """Run `plan` to its end, show it, and exit with its code."""
    early_interrupt.begin()
    from amoc.cli.summary_file import SummaryFile
    from amoc.runtime.launched import launch

    early_interrupt.end()
    printed = json_file == "-"  # the summary goes to standard output, all else to standard error
    summary_file = SummaryFile(json_file) if json_file is not None and not printed else None
    plan = scenario_dependencies.prepared(plan, dependencies)
    early_interrupt.begin()
    launched = launch(plan, cluster.launcher(plan, reach))
    # The node is starting. It ends on its own if this process dies.
    from amoc.cli.signals import handle_signals
    from amoc.cli.view.shown_run import ShownRun
    from amoc.runtime.controller.controller import Controller

    shown = ShownRun(sys.stderr if printed else sys.stdout)
    controller = Controller(plan, launched, shown.line, shown.event, meanwhile=shown.load)
    handle_signals(controller)
    with shown.by(controller):
        outcome = controller.run()
    if outcome.summary is not None:
        shown.summary(outcome.summary)
    say(outcome.message)
    if outcome.summary is not None and printed:
        output_json(outcome.summary, "-")
    if outcome.summary is not None and summary_file is not None:
        try:
            summary_file.write(outcome.summary)
        except AmocError as error:
            say(str(error))
            sys.exit(int(outcome.exit_code or error.exit_code))  # the run's error comes first
    sys.exit(int(outcome.exit_code))
