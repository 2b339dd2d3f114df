"""``--server URL``: a command is for the runs of a server, instead of those of this directory."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any, TypeVar

import click

from amoc.base.errors import UsageError
from amoc.base.json_plain import JsonObject

if TYPE_CHECKING:
    from amoc.client.http_line import Line
    from amoc.control.commands import Command

F = TypeVar("F", bound=Callable[..., Any])
_KEY = f"{__name__}.line"


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


_QUEUE = click.Option(
    ["--queue"],
    is_flag=True,
    default=None,
    expose_value=False,
    callback=_keep("queue"),
    help="With --server, wait until earlier runs are over, instead of being refused.",
)


def queue(command: F) -> F:
    """Give a click command that starts a run the option to wait for its turn."""
    assert isinstance(command, click.Command)
    command.params.append(_QUEUE)
    return command


def may_wait() -> bool:
    """Whether the run of the current command may wait for its turn."""
    return bool(click.get_current_context().meta.get(f"{_KEY}.queue"))


def options(command: F) -> F:
    """Give a click command the options."""
    assert isinstance(command, click.Command)
    command.params += PARAMETERS
    return command


def refused(why: str) -> Callable[[F], F]:
    """Have a command that is for this host refuse the option, and say why.

    AMOC_SERVER does not concern it.
    """

    def refuse(_: click.Context, __: click.Parameter, url: str | None) -> None:
        if url is not None:
            raise UsageError(f"--server cannot be used here: {why}")

    def give(command: F) -> F:
        assert isinstance(command, click.Command)
        command.params.append(
            click.Option(["--server"], hidden=True, expose_value=False, callback=refuse)
        )
        return command

    return give


def line() -> Line | None:
    """The server that the current command is for; None if it is for this directory.

    Raises:
        UsageError: The URL or the token is wrong.
    """
    meta = click.get_current_context().meta
    url = meta.get(f"{_KEY}.url")
    if not url:
        if may_wait():
            raise UsageError("--queue requires --server; a run of this directory begins at once")
        return None
    from amoc.client.http_line import Line, token_in

    file = meta.get(f"{_KEY}.token")
    return Line.to(url, token_in(file) if file else None)


def run_of(server: Line, run: str | None) -> str:
    """The id of the run that is meant; None means the only one that is running.

    Raises:
        UsageError: None is running, or several are.
    """
    from amoc.client.http_line import path_of

    if run is not None:
        return str(server.ask("GET", path_of(run))["id"])
    from amoc.client.remote_commands import running

    return running(server, None, "--run").run


def command(server: Line, run: str | None, given: Command) -> JsonObject:
    """What a run answers to a command.

    Raises:
        AmocError: It, or the server, refuses.
    """
    from amoc.client.http_line import path_of
    from amoc.control.commands import is_read

    if is_read(given.name):
        found: JsonObject = server.ask("GET", path_of(run_of(server, run), given.name))
        return found
    from amoc.client.remote_commands import give

    return give(server, given.name, run, given.arguments, given.comment)
