"""``amoc xmppd``: the embedded XMPP server, by itself."""

from __future__ import annotations

import click

from amoc.cli.param_types import whole


@click.command(short_help="Run an XMPP server for testing.")
@click.option("--host", default="127.0.0.1", show_default=True, help="Address to listen on.")
@click.option(
    "--port", type=whole(0, 65535), default=5222, show_default=True, help="0: any free port."
)
@click.option("--domain", default="localhost", show_default=True, help="Domain to serve.")
@click.option(
    "--connections",
    type=whole(1, 1_000_000),
    default=2000,
    show_default=True,
    help="Maximum number of connections.",
)
@click.option("--lifeline", is_flag=True, hidden=True, help="Exit when standard input ends.")
@click.option("--stats", is_flag=True, help="Print statistics at the end.")
def xmppd(host: str, port: int, domain: str, connections: int, lifeline: bool, stats: bool) -> None:
    """Run an XMPP server for tests and benchmarks.

    Accounts are user_<id>/password_<id>; nothing is stored.
    """
    from amoc import xmppd as server

    server.serve(
        host=host, port=port, domain=domain, connections=connections, lifeline=lifeline, stats=stats
    )
