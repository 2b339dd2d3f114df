"""``amoc node``: joins a run on another host as a node."""

from __future__ import annotations

import os
import select
import signal
import socket
import sys
from typing import NoReturn

import click

from amoc.base.errors import ExitCode, UsageError
from amoc.cli import server_option
from amoc.cli.messages import say
from amoc.cli.param_types import duration

MAX_LINE = 8192


@server_option.refused("amoc node joins a run by its --controller")
@click.command(short_help="Join a run on another host as a node.")
@click.option(
    "--controller",
    metavar="ADDRESS",
    required=True,
    help="Address of the controller, such as tcp://10.0.0.1:4100; tcp://:4100 means the host that"
    " the ssh connection comes from.",
)
@click.option(
    "--secret-file",
    metavar="FILE",
    required=True,
    help="File with the run's secret; - reads it from standard input, and the node stops when that"
    " is closed.",
)
@click.option(
    "--timeout",
    type=duration(),
    default=60.0,
    help="How long to wait for the controller.  [default: 1m]",
)
@click.option("--name", help="Name of this host in the run's output.  [default: its host name]")
def node(controller: str, secret_file: str, timeout: float, name: str | None) -> NoReturn:
    """Join a run on another host, run a share of its users, and exit when the run ends.

    The run is started on the other host with amoc run --cluster join, which sends the scenario.
    Dependencies of the scenario are installed here. Both hosts need the same version of amoc and
    the same minor version of Python.
    """
    from amoc.runtime.remote import address, secret

    place = address.parse(controller, "--controller")
    if not place.host:
        place = place._replace(host=_ssh_client())
    is_stdin = secret_file == secret.STDIN
    known = (
        secret.checked(_first_line(), "--secret-file -")
        if is_stdin
        else secret.in_file(secret_file)
    )
    import zmq

    from amoc.base import process
    from amoc.ipc import bus
    from amoc.runtime.remote.joining import join
    from amoc.runtime.remote.keeper import Keeper, on_signals

    process.set_title("node keeper")
    if is_stdin:  # the writer has started us, and another process may hold its end open
        process.die_with(os.getppid(), signal.SIGTERM)
    context = zmq.Context()
    code = int(ExitCode.INTERNAL)
    try:
        host = name or socket.gethostname()
        is_wanted = _is_open if is_stdin else lambda: True
        keeper = Keeper(context, join(context, place, known, timeout, host, is_wanted), say)
        on_signals(keeper.stop)
        code = keeper.run(0 if is_stdin else None)
    finally:
        context.destroy(linger=bus.LINGER_MS)
    sys.exit(code)


def _ssh_client() -> str:
    """Return the client host of the ssh connection that this process runs in."""
    client = os.environ.get("SSH_CONNECTION", "").partition(" ")[0]
    if not client:
        raise UsageError("--controller must name a host, except within an ssh connection")
    return f"[{client}]" if ":" in client else client


def _is_open() -> bool:
    """Return whether standard input is still open. No more data is expected on it."""
    return not select.select([0], [], [], 0)[0]


def _first_line() -> bytes:
    """Return the first line of standard input without consuming anything after it."""
    line = b""
    while len(line) < MAX_LINE and (byte := os.read(0, 1)) not in (b"", b"\n"):
        line += byte
    return line
