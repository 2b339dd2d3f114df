"""The commands that speak to a run: ``amoc status``, ``amoc add 100``, ``amoc pause`` and so on.

Each finds the run, has it do one command over its control socket, and prints what it answered: one
line for the whole, and one for each worker. The exit code is 0 when the run did it, and that of
what it refused otherwise.
"""

from __future__ import annotations

import functools
import json
from collections.abc import Callable
from typing import Any

import click

from amoc.cli.param_types import MAX_ID, Whole

_Command = Callable[..., None]


def _order(function: Callable[..., dict[str, Any]]) -> _Command:
    """A command that speaks to a run; `function` makes the arguments of its own options."""
    name = function.__name__.rstrip("_")

    @click.option(
        "--run", metavar="DIR", help="Which run: its directory or id.  [default: the only one]"
    )
    @click.option("--comment", metavar="TEXT", default="", help="Why; kept in the run's journal.")
    @click.option("--json", "as_json", is_flag=True, help="Print the whole answer as JSON.")
    @functools.wraps(function)
    def order(run: str | None, comment: str, as_json: bool, **own: Any) -> None:
        arguments = function(**own)
        comment = arguments.pop("", comment)
        _have_done(run, name, arguments, comment, as_json)

    return order


def _have_done(
    run: str | None, name: str, arguments: dict[str, Any], comment: str, as_json: bool
) -> None:
    from amoc.control import answer_text, client, commands
    from amoc.results.run_directory import find

    command = commands.checked(name, arguments, comment)
    directory = find(run)
    answer = client.request(directory.control, *command)
    if as_json:
        click.echo(json.dumps(answer, indent=1))
        return
    for line in answer_text.lines_of(answer):
        click.echo(line)


@click.command(short_help="Show how a run is.")
@_order
def status() -> dict[str, Any]:
    """Show how a running run is: its state, its users, its throttles."""
    return {}


@click.command(short_help="Show where a run's users are.")
@_order
def users() -> dict[str, Any]:
    """Show how many users each worker of a running run has, and the highest id."""
    return {}


@click.command(short_help="Add users to a run.")
@click.argument("count", metavar="N", type=Whole(1, MAX_ID))
@_order
def add(count: int) -> dict[str, Any]:
    """Add N users to a running run; their ids follow the highest one."""
    return {"count": count}


@click.command(short_help="Remove users from a run.")
@click.argument("count", metavar="N", type=Whole(1, MAX_ID))
@click.option("--force", is_flag=True, help="Do not let them finish.")
@_order
def remove(count: int, force: bool) -> dict[str, Any]:
    """Remove N users from a running run, first those that have not started yet.

    They finish what they are doing and do not repeat it; with --force they are taken out at once.
    """
    return {"count": count, "force": force}


@click.command(name="set", short_help="Change settings of a run.")
@click.argument("pairs", metavar="NAME=VALUE…", nargs=-1, required=True)
@_order
def set_(pairs: tuple[str, ...]) -> dict[str, Any]:
    """Change settings of a running run: on all workers, or, when one refuses, on none."""
    from amoc.control import commands

    return {"values": commands.pairs("set", pairs)}


@click.command(short_help="Pause a run.")
@_order
def pause() -> dict[str, Any]:
    """Pause a running run: users stop at their next call of amoc, and nobody starts."""
    return {}


@click.command(short_help="Let a paused run go on.")
@_order
def resume() -> dict[str, Any]:
    """Let a paused run go on."""
    return {}


@click.command(short_help="Stop a run.")
@_order
def stop() -> dict[str, Any]:
    """Stop a running run: its users finish, and it ends with its summary."""
    return {}


@click.command(short_help="Write a remark into a run's journal.")
@click.argument("text", metavar="TEXT…", nargs=-1, required=True)
@_order
def note(text: tuple[str, ...]) -> dict[str, Any]:
    """Write a remark into a running run's journal."""
    return {"": " ".join(text)}


COMMANDS = (status, users, add, remove, set_, pause, resume, stop, note)
