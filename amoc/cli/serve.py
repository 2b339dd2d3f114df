"""``amoc serve``: runs the server, in the foreground; ``amoc start``: in the background."""

from __future__ import annotations

import os
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click
from click.core import ParameterSource

from amoc.base import secret_file
from amoc.base.errors import UsageError, value_error_as
from amoc.cli import cluster, server_option
from amoc.cli.cluster import Reach
from amoc.cli.cluster_options import cluster_of
from amoc.cli.option_groups import flag, together
from amoc.cli.param_types import CLUSTERS, PATH, whole
from amoc.results.run_directory import BASE
from amoc.runtime.remote import address, secret
from amoc.scenario.cluster import JOIN, MAX_NODES, ONE_NODE, RAY, parse
from amoc.service.config import PORT, ServiceConfig, is_loopback
from amoc.service.run_cluster import RunCluster

if TYPE_CHECKING:
    from amoc.service.tokens import Tokens

options = together(
    click.option(
        "--listen",
        metavar="[HOST:]PORT",
        help="Address to listen on.  [default: 127.0.0.1 and AMOC_API_PORT, or 4000]",
    ),
    click.option(
        "--runs-dir",
        "runs",
        metavar="DIR",
        type=PATH,
        default=BASE,
        show_default=True,
        help="Directory for the runs' directories.",
    ),
    click.option(
        "--scenarios",
        metavar="DIR",
        type=PATH,
        default="scenarios",
        show_default=True,
        help="Directory of scenarios that can be started by name.",
    ),
    click.option(
        "--uploads",
        metavar="DIR",
        type=PATH,
        default="amoc-scenarios",
        show_default=True,
        help="Directory for uploaded scenarios.",
    ),
    flag("--no-upload", help="Refuse uploaded scenarios, whose code would run on this host."),
    click.option(
        "--parallel",
        type=whole(1, 64),
        default=1,
        show_default=True,
        help="Maximum number of runs at the same time.",
    ),
    click.option(
        "--keep",
        type=whole(1, 1_000_000),
        help="Keep the N newest runs in --runs-dir and delete older ones.  [default: keep all]",
    ),
    click.option(
        "--keep-days",
        type=whole(1, 100_000),
        help="Delete runs in --runs-dir that ended more than N days ago.  [default: keep all]",
    ),
    click.option(
        "--token-file",
        metavar="FILE",
        help="Require a token. Each line of FILE has a role (read, run or admin) and a token."
        " Required to listen on other addresses than loopback.",
    ),
    click.option(
        "--name",
        "names",
        metavar="HOST",
        multiple=True,
        help="Additional name by which clients reach this host (repeatable).",
    ),
    click.option("--cert", metavar="FILE", type=PATH, help="Certificate for HTTPS (PEM)."),
    click.option("--key", metavar="FILE", type=PATH, help="Private key for --cert (PEM)."),
    click.option(
        "--cluster",
        "where",
        type=CLUSTERS,
        metavar="CLUSTER",
        help="Nodes for runs, as in amoc run. A run may use fewer, or only nodes on this host."
        "  [default: local:1]",
    ),
    click.option(
        "--nodes",
        type=whole(1, MAX_NODES),
        help="Number of nodes that each run waits for with --cluster join.",
    ),
    cluster.options,
)
"""All options of a server, as a decorator."""


def config(
    *,
    listen: str | None,
    no_upload: bool,
    token_file: str | None,
    where: str | None,
    nodes: int | None,
    reach: Reach,
    **given: Any,  # fields of `ServiceConfig`, of which click has checked the types
) -> ServiceConfig:
    """Return the configuration that the options describe.

    Raises:
        UsageError: An option is invalid.
    """
    host, port = _address(listen)
    if not is_loopback(host) and token_file is None:
        raise UsageError(
            f"--listen {host}:{port} lets other hosts connect, and whoever connects may run code"
            " here; give --token-file FILE"
        )
    if (given["cert"] is None) != (given["key"] is None):
        raise UsageError("--cert and --key must be given together")
    return ServiceConfig(
        host=host,
        port=port,
        upload=not no_upload,
        tokens=_tokens(token_file) if token_file is not None else None,
        cluster=_cluster(where, nodes, reach, given["parallel"]),
        **given,
    )


def _cluster(where: str | None, nodes: int | None, reach: Reach, parallel: int) -> RunCluster:
    """Return the cluster that runs use.

    Raises:
        UsageError: The options contradict each other, or parallel runs would need the same ports.
    """
    text = cluster_of(where or ONE_NODE, nodes)
    cluster.check(parse(text), reach)
    if reach.secret_file is not None:
        secret.in_file(reach.secret_file)  # report errors now, not when a run starts
    fixed = reach.bind is not None and address.parse(reach.bind, "--bind", 0).port
    engine = parse(text).engine
    if parallel > 1 and (engine in (JOIN, RAY) or fixed):
        what = "--bind with a port" if fixed else f"--cluster {engine}"
        raise UsageError(f"{what} takes one run at a time, so --parallel must be 1, got {parallel}")
    return RunCluster(
        text if where is not None else "", tuple(map("=".join, reach.given().items()))
    )


def _tokens(file: str) -> Tokens:
    from amoc.service.tokens import Tokens

    source = f"--token-file {file}"
    with value_error_as(UsageError, f"{source} cannot be read: "):
        text = secret_file.read(file, source).decode()
    return Tokens.parse(text, source)


def _address(listen: str | None) -> tuple[str, int]:
    source, text = "--listen", listen
    if text is None:
        source, text = "AMOC_API_PORT", os.environ.get("AMOC_API_PORT", str(PORT))
    host, _, port = text.rpartition(":")
    if not (port.isascii() and port.isdecimal() and int(port) < 1 << 16):
        raise UsageError(f"{source} must be a port, or HOST:PORT, got {text!r}")
    return host.strip("[]") or "127.0.0.1", int(port)


@server_option.refused("amoc serve is itself the server; --listen says where")
@click.command(short_help="Serve the dashboard and the REST API.")
@options
def serve(**given: Any) -> None:  # for `config`
    """Serve the dashboard and the REST API, on port 4000 of this host, until Ctrl-C.

    Runs started through the server are separate processes. They stop gracefully when it ends.
    """
    from amoc.runtime.supervisor import monkey_patch

    chosen = config(**given)
    monkey_patch.patch()
    from amoc.service import main

    sys.exit(main.run(chosen, click.echo))


@server_option.refused("amoc start starts the server; --listen says where")
@click.command(short_help="Run amoc serve in the background.")
@options
@click.pass_context
def start(context: click.Context, /, **given: Any) -> None:  # for `config`
    """Run amoc serve in the background, with the same options; amoc stop-server ends it.

    Its output goes to .daemon.log in the directory of runs.
    """
    from amoc.service import background

    chosen = config(**given)  # report errors here, not in the background
    found = background.start(chosen.runs, _again(context))
    click.echo(f"amoc serves {found.url} (process {found.pid})")


def _again(context: click.Context) -> list[str]:
    """Return the options of the current command as they were given."""
    made: list[str] = []
    for one in context.command.params:
        if not one.expose_value:
            continue
        value = context.params[str(one.name)]
        if context.get_parameter_source(str(one.name)) is not ParameterSource.COMMANDLINE:
            continue
        values = value if isinstance(value, tuple) else (value,)
        made += [one.opts[0] if two is True else f"{one.opts[0]}={two}" for two in values]
    return made


@server_option.refused(
    "amoc stop-server ends a server of this host, by its --runs-dir; REST cannot end a server"
)
@click.command("stop-server", short_help="End the server in the background.")
@click.option(
    "--runs-dir",
    metavar="DIR",
    type=PATH,
    default=BASE,
    show_default=True,
    help="The --runs-dir that the server was started with.",
)
def stop_server(runs_dir: Path) -> None:
    """End the background server of a directory of runs, after its runs have stopped gracefully."""
    from amoc.service import background

    pid = background.stop(runs_dir)
    click.echo(f"the server (process {pid}) has ended")


COMMANDS = (serve, start, stop_server)
