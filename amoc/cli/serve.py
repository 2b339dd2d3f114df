"""``amoc serve``: the daemon, in the foreground."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from amoc.base.errors import UsageError
from amoc.cli.param_types import whole
from amoc.results.run_directory import BASE

if TYPE_CHECKING:
    from amoc.service.config import ServiceConfig

_OPTIONS = (
    click.option(
        "--listen",
        metavar="[HOST:]PORT",
        help="Address to listen on.  [default: 127.0.0.1 and AMOC_API_PORT, or 4000]",
    ),
    click.option(
        "--runs-dir",
        metavar="DIR",
        default=BASE,
        show_default=True,
        help="Directory for the runs' directories.",
    ),
    click.option(
        "--scenarios",
        metavar="DIR",
        default="scenarios",
        show_default=True,
        help="Directory of scenarios that can be started by name.",
    ),
    click.option(
        "--uploads",
        metavar="DIR",
        default="amoc-scenarios",
        show_default=True,
        help="Directory for scenarios that are uploaded.",
    ),
    click.option("--no-upload", is_flag=True, help="Refuse uploads, which are code to run here."),
    click.option(
        "--parallel",
        type=whole(1, 64),
        default=1,
        show_default=True,
        help="Number of runs that may run side by side.",
    ),
)


def options(function: Callable[..., None]) -> Callable[..., None]:
    """Give a command the options of the daemon; `config` takes their values."""
    for option in reversed(_OPTIONS):
        function = option(function)
    return function


def config(
    *,
    listen: str | None,
    runs_dir: str,
    scenarios: str,
    uploads: str,
    no_upload: bool,
    parallel: int,
) -> ServiceConfig:
    """What the options say.

    Raises:
        UsageError: One of them is wrong.
    """
    from amoc.service.config import ServiceConfig

    host, port = _address(listen)
    return ServiceConfig(
        runs=Path(runs_dir),
        scenarios=Path(scenarios),
        uploads=Path(uploads),
        host=host,
        port=port,
        parallel=parallel,
        upload=not no_upload,
    )


def _address(listen: str | None) -> tuple[str, int]:
    from amoc.service.config import PORT

    source, text = "--listen", listen
    if text is None:
        source, text = "AMOC_API_PORT", os.environ.get("AMOC_API_PORT", str(PORT))
    host, _, port = text.rpartition(":")
    if not (port.isascii() and port.isdecimal() and int(port) < 1 << 16):
        raise UsageError(f"{source} must be a port, or HOST:PORT, got {text!r}")
    return host.strip("[]") or "127.0.0.1", int(port)


@click.command(short_help="Serve REST and a dashboard.")
@options
def serve(**given: Any) -> None:
    """Serve REST, on port 4000 of this host, until Ctrl-C.

    Runs that are started over it are processes of their own and stop gracefully when it ends.
    """
    from amoc.runtime.supervisor import monkey_patch

    chosen = config(**given)
    monkey_patch.patch()
    from amoc.service import daemon

    sys.exit(daemon.run(chosen, click.echo))
