"""The command line: ``amoc run``, ``amoc plan``, ``amoc status`` and the others.

The one place where everything is plugged together. Each command imports what it needs when it is
called, so that ``amoc --help`` is quick and ``amoc check`` can patch the standard library first.
"""

from __future__ import annotations

import os
import sys
from typing import TYPE_CHECKING, Any, NoReturn

import click

from amoc import __version__
from amoc.base.errors import AmocError, ExitCode, UsageError
from amoc.base.text import printable
from amoc.cli import control, results, run_options
from amoc.cli.param_types import MAX_ID, Duration, Whole

if TYPE_CHECKING:  # what it imports takes time, and must not come before `amoc check` patches
    from amoc.scenario.run_plan import RunPlan


def fail(error: AmocError) -> NoReturn:
    """Say what is wrong, a line for each problem, and exit with its code."""
    say(str(error))
    sys.exit(int(error.exit_code))


def say(text: str) -> None:
    """Tell the operator, on standard error, a line for each problem."""
    for line in text.splitlines():
        click.echo(f"amoc: {printable(line)}", err=True)


@click.group(context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100})
@click.version_option(__version__, prog_name="amoc")
def cli() -> None:
    """Run a scenario for very many simulated users at once."""


for _command in (*control.COMMANDS, *results.COMMANDS):
    cli.add_command(_command)


@cli.command(short_help="Run a scenario.")
@run_options.options
@run_options.JSON_FILE
def run(json_file: str | None, **given: Any) -> None:
    """Run SCENARIO, a Python file or an importable module.

    Without --duration the run ends when all users have left for good, with --stages when the last
    stage is over. Ctrl-C lets users finish, a second one stops at once. While it runs it takes keys
    (? shows them) and commands from other shells: amoc status, add, remove, set, pause and others.
    """
    _run(run_options.plan(**given), json_file)


def _run(plan: RunPlan, json_file: str | None) -> NoReturn:
    """Run `plan` to its end, show it, and exit with its code."""
    from amoc.cli.signals import handle_signals
    from amoc.cli.summary_file import SummaryFile
    from amoc.cli.view.console import console as make_console
    from amoc.cli.view.keyboard import Keyboard
    from amoc.cli.view.live import LiveView
    from amoc.cli.view.summary import print_summary
    from amoc.runtime.controller.controller import Controller

    summary_file = SummaryFile(json_file) if json_file is not None else None
    console = make_console()
    view = LiveView(console)
    controller = Controller(plan, on_line=view.line, on_event=view.event)
    keyboard = Keyboard(controller.status, controller.operate, view.event)
    view.attach(controller.status, keyboard)
    handle_signals(controller)
    with view, keyboard:
        outcome = controller.run()
    if outcome.summary is not None:
        print_summary(console, outcome.summary)
    say(outcome.message)
    if outcome.summary is not None and summary_file is not None:
        try:
            summary_file.write(outcome.summary)
        except AmocError as error:
            say(str(error))
            sys.exit(int(outcome.exit_code or error.exit_code))  # the run's own fault comes first
    sys.exit(int(outcome.exit_code))


@cli.command(name="plan", short_help="Show what would happen when.")
@run_options.options
@click.option("--json", "as_json", is_flag=True, help="Print it as JSON.")
def plan_(as_json: bool, **given: Any) -> None:
    """Load SCENARIO as `amoc check` does, and show what a run would do when, without running it."""
    _show_plan(run_options.plan(**given), as_json)


def _show_plan(plan: RunPlan, as_json: bool) -> None:
    from amoc.runtime.supervisor import monkey_patch

    monkey_patch.patch()
    from amoc.cli import plan as planned

    planned.show(plan, as_json)


@cli.command(short_help="Run again what was run before.")
@click.argument("run_directory", metavar="RUN_DIR")
@run_options.RUN_DIRECTORY
@run_options.SET
@click.option("--comment", help="A remark that is kept with the run.  [default: the same]")
@click.option("--plan", "only_plan", is_flag=True, help="Only show what would happen when.")
@run_options.JSON_FILE
def replay(
    run_directory: str,
    new_directory: str | None,
    pairs: tuple[str, ...],
    comment: str | None,
    only_plan: bool,
    json_file: str | None,
) -> None:
    """Run again what was run in RUN_DIR: the same users, seed, stages, rates and settings.

    Commands that were given during that run are given again at their times. Secrets are not kept,
    so they must be given again, with --set or AMOC_NAME.
    """
    from dataclasses import replace

    from amoc.results import replay as replaying
    from amoc.results import run_directory as rundir
    from amoc.scenario import settings_sources

    given = settings_sources.pairs_of("--set", pairs)
    plan = replaying.prepare(rundir.locate(run_directory, what="RUN_DIR"), given, os.environ, say)
    plan = replace(plan, run_directory=new_directory)
    if comment is not None:
        plan = replace(plan, comment=comment)
    if only_plan:
        _show_plan(plan, as_json=False)
    else:
        _run(plan, json_file)


@cli.command(short_help="Load a scenario and show its settings.")
@run_options.SCENARIO
@run_options.SET
@run_options.CONFIG
@run_options.SEED
@click.option(
    "--run", "run_user", is_flag=True, help="Run one user once, here, with a trace of its stanzas."
)
@click.option(
    "--user-id", type=Whole(1, MAX_ID), default=1, help="Which user --run runs.  [default: 1]"
)
@click.option(
    "--for",
    "seconds",
    type=Duration(),
    default=5.0,
    help="Ask the user of --run to finish after this long.  [default: 5s]",
)
def check(
    scenario: str,
    pairs: tuple[str, ...],
    config: str | None,
    seed: int | None,
    run_user: bool,
    user_id: int,
    seconds: float,
) -> None:
    """Load SCENARIO; show its docstring and its settings with values and sources."""
    from amoc.runtime.supervisor import monkey_patch

    monkey_patch.patch()
    from amoc.cli import check as checking
    from amoc.scenario import settings_sources

    loaded = checking.show(scenario, settings_sources.gather(pairs, os.environ, config))
    if run_user:
        checking.run_one(loaded, user_id, seed or 0, seconds)


@cli.command(short_help="Serve XMPP for trials.")
@click.option("--host", default="127.0.0.1", show_default=True, help="Address to listen on.")
@click.option(
    "--port", type=Whole(0, 65535), default=5222, show_default=True, help="0: any free one."
)
@click.option("--domain", default="localhost", show_default=True, help="The domain it serves.")
@click.option(
    "--connections",
    type=Whole(1, 1_000_000),
    default=2000,
    show_default=True,
    help="How many there must be room for.",
)
@click.option("--lifeline", is_flag=True, hidden=True, help="Leave when standard input ends.")
@click.option("--stats", is_flag=True, help="Print statistics at the end.")
def xmppd(host: str, port: int, domain: str, connections: int, lifeline: bool, stats: bool) -> None:
    """Serve XMPP for trials and benchmarks: accounts user_<id>/password_<id>, nothing stored."""
    from amoc import xmppd as server

    server.serve(
        host=host,
        port=port,
        domain=domain,
        connections=connections,
        lifeline=lifeline,
        stats=stats,
    )


def _open_standard_streams() -> None:
    """Make sure of all three: cron and daemons close them; no socket may take their place."""
    for fd, name, mode in ((0, "stdin", "r"), (1, "stdout", "w"), (2, "stderr", "w")):
        if getattr(sys, name) is None:
            nowhere = os.open(os.devnull, os.O_RDWR)
            if nowhere != fd:
                os.dup2(nowhere, fd)
            setattr(sys, name, open(fd, mode, closefd=False))  # noqa: SIM115
    # Into a pipe or a file, too, a line is there when it was printed.
    sys.stdout.reconfigure(line_buffering=True)  # type: ignore[union-attr]


def main() -> NoReturn:
    """The entry point: what amoc raises on purpose is a line and an exit code, no traceback."""
    _open_standard_streams()
    try:
        sys.exit(cli.main(standalone_mode=False))
    except AmocError as error:
        fail(error)
    except click.exceptions.NoArgsIsHelpError as error:
        click.echo(error.format_message())
        sys.exit(int(ExitCode.USAGE))
    except click.MissingParameter as error:
        fail(UsageError(f"{error.format_message().rstrip('.')} (see --help)"))
    except click.BadParameter as error:
        name = error.param.opts[0] if error.param is not None else ""
        fail(UsageError(f"{name} {error.message}".strip()))
    except click.ClickException as error:
        fail(UsageError(f"{error.format_message()} (see --help)"))
    except (KeyboardInterrupt, click.Abort):
        sys.exit(int(ExitCode.INTERRUPTED))
