"""The command line: ``amoc run``, ``amoc check``, ``amoc xmppd``.

The one place where everything is plugged together. Each command imports what it needs when it is
called, so that ``amoc --help`` is quick and ``amoc check`` can patch the standard library first.
"""

from __future__ import annotations

import json
import os
import random
import re
import sys
from pathlib import Path
from typing import Any, NoReturn

import click

from amoc import __version__
from amoc.errors import AmocError, ExitCode, UsageError
from amoc.timing import parse_duration

MOST_ID = 1 << 32
PLAIN_WIDTH = 160
FOR_EVER_S = 1e8
"""What a time-out without end is in fact: three years, which fit where infinity does not."""


class Duration(click.ParamType[float]):
    """Text such as ``30s`` as seconds."""

    name = "duration"

    def convert(
        self, value: Any, param: click.Parameter | None, ctx: click.Context | None
    ) -> float:
        """Seconds, or a usage error."""
        if isinstance(value, float):
            return value
        try:
            return parse_duration(value)
        except ValueError as error:
            self.fail(str(error), param, ctx)


def fail(error: AmocError) -> NoReturn:
    """Say what is wrong, a line for each problem, and exit with its code."""
    for line in str(error).splitlines():
        click.echo(f"amoc: {line}", err=True)
    sys.exit(int(error.exit_code))


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
    type=click.IntRange(0, 2**63 - 1),
    help="Fix every random decision (default: chosen and shown).",
)


@cli.command()
@_scenario
@click.option(
    "--users", type=click.IntRange(1, MOST_ID), help="How many users; ids from 1.  [default: 1]"
)
@click.option("--user-ids", metavar="A-B", help="Which users, by id, instead of --users.")
@click.option(
    "--duration",
    type=Duration(),
    help="Ask users to finish after this long: 30s, 5m (default: never).",
)
@click.option("--workers", type=int, help="Worker processes (default: one per CPU core).")
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
    type=Duration(),
    default=10.0,
    help="For users to finish at the end.  [default: 10s]",
)
def run(
    scenario: str,
    users: int | None,
    user_ids: str | None,
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
    from rich.console import Console

    from amoc import sources
    from amoc.engine.controller import Controller, handle_signals
    from amoc.engine.run import RunPlan
    from amoc.view.live import LiveView
    from amoc.view.summary import print_summary

    try:
        if workers is not None:
            pairs = (*pairs, f"workers={workers}")
        if duration is not None and not duration > 0:
            raise UsageError(f"--duration must be above 0 s, but is {duration:g} s")
        json_path = _writable(json_file)
        plan = RunPlan(
            scenario=scenario,
            users=_ids(users, user_ids),
            duration_s=duration,
            sources=sources.gather(pairs, os.environ, config),
            seed=random.SystemRandom().getrandbits(32) if seed is None else seed,
            comment=comment,
            init_timeout_s=min(init_timeout, FOR_EVER_S),
            stop_timeout_s=min(stop_timeout, FOR_EVER_S),
        )
    except AmocError as error:
        fail(error)
    # A pipe or a file has no width: then tables are not squeezed.
    console = Console() if sys.stdout.isatty() else Console(width=PLAIN_WIDTH)
    view = LiveView(console)
    controller = Controller(plan, on_line=view.line, on_event=view.event)
    view.attach(controller.status)
    signals = handle_signals(controller)
    with view:
        outcome = controller.run()
    for watcher in signals:
        watcher.cancel()
    if outcome.summary is not None:
        print_summary(console, outcome.summary)
        if json_path is not None:
            json_path.write_text(json.dumps(outcome.summary, indent=1) + "\n")
    for line in outcome.message.splitlines():
        click.echo(f"amoc: {line}", err=True)
    sys.exit(int(outcome.exit_code))


def _ids(users: int | None, user_ids: str | None) -> range:
    if user_ids is None:
        return range(1, (users or 1) + 1)
    if users is not None:
        raise UsageError("--users and --user-ids say the same thing; give one of them")
    found = re.fullmatch(r"(\d+)-(\d+)", user_ids)
    if not found or not 1 <= int(found[1]) <= int(found[2]) <= MOST_ID:
        raise UsageError(
            f"--user-ids must be A-B with 1 <= A <= B <= {MOST_ID}, but is {user_ids!r}"
        )
    return range(int(found[1]), int(found[2]) + 1)


def _writable(file: str | None) -> Path | None:
    """`file` as a path that can be written to: better known before the run than after it."""
    if file is None:
        return None
    path = Path(file)
    new = not path.exists()
    try:
        path.open("a").close()
        if new:
            path.unlink()  # a run that does not start leaves none behind
    except OSError as error:
        raise UsageError(f"--json {file} cannot be written: {error.strerror}") from None
    return path


@cli.command()
@_scenario
@_set
@_config
@_seed
@click.option(
    "--run", "run_user", is_flag=True, help="Run one user once, here, with a trace of its stanzas."
)
@click.option(
    "--user-id",
    type=click.IntRange(1, MOST_ID),
    default=1,
    help="Which user --run runs.  [default: 1]",
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

    try:
        loaded = checking.show(scenario, sources.gather(pairs, os.environ, config))
        if run_user:
            checking.run_one(loaded, user_id, seed or 0)
    except AmocError as error:
        fail(error)


@cli.command()
@click.option("--host", default="127.0.0.1", show_default=True, help="Address to listen on.")
@click.option(
    "--port",
    type=click.IntRange(0, 65535),
    default=5222,
    show_default=True,
    help="0: any free one.",
)
@click.option("--domain", default="localhost", show_default=True, help="The domain it serves.")
@click.option("--lifeline", is_flag=True, hidden=True, help="Leave when standard input ends.")
@click.option("--stats", is_flag=True, help="Print statistics at the end.")
def xmppd(host: str, port: int, domain: str, lifeline: bool, stats: bool) -> None:
    """Serve XMPP for trials and benchmarks: accounts user_<id>/password_<id>, nothing stored."""
    from amoc.xmpp import server

    try:
        server.serve(host=host, port=port, domain=domain, lifeline=lifeline, stats=stats)
    except AmocError as error:
        fail(error)


def main() -> None:
    """The entry point: no traceback for what amoc raises on purpose."""
    # Into a pipe or a file, too, a line is there when it was printed.
    sys.stdout.reconfigure(line_buffering=True)  # type: ignore[union-attr]
    try:
        cli()
    except AmocError as error:
        fail(error)
    except KeyboardInterrupt:
        sys.exit(int(ExitCode.INTERRUPTED))
