"""The command line: ``amoc run``, ``amoc check``, ``amoc xmppd``.

The one place where everything is plugged together. Each command imports what it needs when it is
called, so that ``amoc --help`` is quick and ``amoc check`` can patch the standard library first.
"""

from __future__ import annotations

import os
import random
import sys
from typing import NoReturn

import click

from amoc import __version__
from amoc.errors import AmocError, ExitCode, UsageError
from amoc.options import MOST_ID, Duration, UserIds, Whole


def fail(error: AmocError) -> NoReturn:
    """Say what is wrong, a line for each problem, and exit with its code."""
    say(str(error))
    sys.exit(int(error.exit_code))


def say(text: str) -> None:
    """Tell the operator, on standard error, a line for each problem."""
    for line in text.splitlines():
        click.echo(f"amoc: {line}", err=True)


@click.group(context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100})
@click.version_option(__version__, prog_name="amoc")
def cli() -> None:
    """Run a scenario for very many simulated users at once."""


_scenario = click.argument("scenario", metavar="SCENARIO")
_set = click.option(
    "--set",
    "pairs",
    metavar="NAME=VALUE",
    multiple=True,
    help="Give a setting a value (repeatable).",
)
_config = click.option(
    "--config",
    metavar="FILE",
    help="Read settings from this TOML file (default: amoc.toml, if there).",
)
_seed = click.option(
    "--seed",
    type=Whole(0, 2**63 - 1),
    help="Fix every random decision (default: chosen and shown).",
)


@cli.command(short_help="Run a scenario.")
@_scenario
@click.option("--users", type=Whole(1, MOST_ID), help="How many users; ids from 1.  [default: 1]")
@click.option("--user-ids", type=UserIds(), help="Which users, by id, instead of --users.")
@click.option(
    "--duration",
    type=Duration(),
    help="Ask users to finish after this long: 30s, 5m.  [default: never]",
)
@click.option(
    "--workers", type=Whole(1, 512), help="Worker processes.  [default: one per CPU core]"
)
@_set
@_config
@_seed
@click.option("--comment", default="", help="A remark that is kept with the run.")
@click.option("--json", "json_file", metavar="FILE", help="Write the summary there as JSON.")
@click.option(
    "--init-timeout", type=Duration(), default=30.0, help="For import and init().  [default: 30s]"
)
@click.option(
    "--stop-timeout",
    type=Duration(zero=True),
    default=10.0,
    help="For users to finish at the end.  [default: 10s]",
)
def run(
    scenario: str,
    users: int | None,
    user_ids: range | None,
    duration: float | None,
    workers: int | None,
    pairs: tuple[str, ...],
    config: str | None,
    seed: int | None,
    comment: str,
    json_file: str | None,
    init_timeout: float,
    stop_timeout: float,
) -> None:
    """Run SCENARIO, a Python file or an importable module.

    Without --duration the run ends when all users have left for good. Ctrl-C lets them finish,
    a second one stops at once.
    """
    from amoc import sources
    from amoc.engine.controller import Controller, handle_signals
    from amoc.engine.run import RunPlan
    from amoc.output import SummaryFile
    from amoc.view.console import console as make_console
    from amoc.view.live import LiveView
    from amoc.view.summary import print_summary

    if users is not None and user_ids is not None:
        raise UsageError("--users and --user-ids say the same thing; give one of them")
    options = {} if workers is None else {"workers": workers}
    plan = RunPlan(
        scenario=scenario,
        users=user_ids or range(1, (users or 1) + 1),
        duration_s=duration,
        sources=[("--workers", options, True), *sources.gather(pairs, os.environ, config)],
        seed=random.SystemRandom().getrandbits(32) if seed is None else seed,
        comment=comment,
        init_timeout_s=init_timeout,
        stop_timeout_s=stop_timeout,
    )
    summary_file = SummaryFile(json_file) if json_file is not None else None
    console = make_console()
    view = LiveView(console)
    controller = Controller(plan, on_line=view.line, on_event=view.event)
    view.attach(controller.status)
    handle_signals(controller)
    with view:
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


@cli.command(short_help="Load a scenario and show its settings.")
@_scenario
@_set
@_config
@_seed
@click.option(
    "--run", "run_user", is_flag=True, help="Run one user once, here, with a trace of its stanzas."
)
@click.option(
    "--user-id", type=Whole(1, MOST_ID), default=1, help="Which user --run runs.  [default: 1]"
)
def check(
    scenario: str,
    pairs: tuple[str, ...],
    config: str | None,
    seed: int | None,
    run_user: bool,
    user_id: int,
) -> None:
    """Load SCENARIO; show its docstring and its settings with values and sources."""
    from amoc.engine import patching

    patching.patch()
    from amoc import check as checking
    from amoc import sources

    loaded = checking.show(scenario, sources.gather(pairs, os.environ, config))
    if run_user:
        checking.run_one(loaded, user_id, seed or 0)


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
    from amoc.xmpp import server

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
    except click.MissingParameter as error:
        fail(UsageError(f"{error.format_message().rstrip('.')} (see --help)"))
    except click.BadParameter as error:
        name = error.param.opts[0] if error.param is not None else ""
        fail(UsageError(f"{name} {error.message}".strip()))
    except click.ClickException as error:
        fail(UsageError(f"{error.format_message()} (see --help)"))
    except (KeyboardInterrupt, click.Abort):
        sys.exit(int(ExitCode.INTERRUPTED))
