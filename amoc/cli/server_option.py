"""``--server URL``: act on the runs of a server instead of those of this directory."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, TypeVar

import click

from amoc.base.errors import UsageError
from amoc.base.json_plain import JsonObject

if TYPE_CHECKING:
    from amoc.client.rest_client import RestClient
    from amoc.control.commands import Command

F = TypeVar("F", bound=Callable[..., object])
_KEY = f"{__name__}.server"


def _with(*parameters: click.Parameter) -> Callable[[F], F]:
    """Return a decorator that adds parameters to a command."""

    def give(command: F) -> F:
        assert isinstance(command, click.Command)
        command.params += parameters
        return command

    return give


def _keep(name: str) -> Callable[[click.Context, click.Parameter, object], None]:
    def keep(context: click.Context, _: click.Parameter, value: object) -> None:
        context.meta[f"{_KEY}.{name}"] = value

    return keep


PARAMETERS = (
    click.Option(
        ["--server"],
        metavar="URL",
        envvar="AMOC_SERVER",
        expose_value=False,
        callback=_keep("url"),
        help="URL of an amoc serve, to act on its runs.  [default: AMOC_SERVER, or the"
        " runs of this directory]",
    ),
    click.Option(
        ["--server-token-file"],
        metavar="FILE",
        envvar="AMOC_SERVER_TOKEN_FILE",
        expose_value=False,
        callback=_keep("token"),
        help="File with the token for --server.  [default: AMOC_SERVER_TOKEN_FILE]",
    ),
)
options = _with(*PARAMETERS)
"""Adds the options to a command."""
queue = _with(
    click.Option(
        ["--queue"],
        is_flag=True,
        default=None,
        expose_value=False,
        callback=_keep("queue"),
        help="With --server, wait until earlier runs have ended, instead of being refused.",
    )
)
"""Adds ``--queue`` to a command that starts a run."""


def may_wait() -> bool:
    """Return whether the current command's run may wait for earlier ones."""
    return bool(click.get_current_context().meta.get(f"{_KEY}.queue"))


def refused(why: str) -> Callable[[F], F]:
    """Return a decorator for commands that always act on this host: they refuse ``--server``.

    They ignore AMOC_SERVER.
    """

    def refuse(_: click.Context, __: click.Parameter, url: str | None) -> None:
        if url is not None:
            raise UsageError(f"--server cannot be used here: {why}")

    return _with(click.Option(["--server"], hidden=True, expose_value=False, callback=refuse))


def server() -> RestClient | None:
    """Return the server that the current command acts on; None for this directory.

    Raises:
        UsageError: The URL or the token is invalid.
    """
    meta = click.get_current_context().meta
    url = meta.get(f"{_KEY}.url")
    if not url:
        if may_wait():
            raise UsageError("--queue requires --server; runs of this directory start at once")
        return None
    from amoc.client.rest_client import RestClient, token_in

    file = meta.get(f"{_KEY}.token")
    return RestClient.to(url, token_in(file) if file else None)


def run_of(server: RestClient, run: str | None) -> str:
    """Return the id of the run to act on; None selects the only run that is running.

    Raises:
        UsageError: No run is running, or several are.
    """
    from amoc.client.rest_client import path_of

    if run is not None:
        return str(server.request("GET", path_of(run))["id"])
    from amoc.client.remote_commands import running

    return running(server, None, "--run").run


def command(server: RestClient, run: str | None, given: Command) -> JsonObject:
    """Send a command to a run of a server, and return the run's answer.

    Raises:
        AmocError: The run or the server refuses it.
    """
    from amoc.client.rest_client import path_of
    from amoc.control.commands import is_read

    if is_read(given.name):
        return server.request("GET", path_of(run_of(server, run), given.name))
    from amoc.client.remote_commands import give

    return give(server, given.name, run, given.arguments, given.comment)
