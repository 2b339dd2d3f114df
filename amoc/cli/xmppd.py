"""``amoc xmppd``: runs the embedded XMPP server on its own."""

from __future__ import annotations

from typing import Any

import click

from amoc.base.errors import UsageError
from amoc.cli import server_option
from amoc.cli.option_groups import flag
from amoc.cli.param_types import whole


@server_option.refused(
    "amoc xmppd runs on this host; on a server a scenario starts its own, without xmpp_servers"
)
@click.command(short_help="Run an XMPP server for testing.")
@click.option("--host", default="127.0.0.1", show_default=True, help="Address to listen on.")
@click.option(
    "--port",
    type=whole(0, 65535),
    default=5222,
    show_default=True,
    help="Port to listen on; 0 for any free port.",
)
@click.option("--domain", default="localhost", show_default=True, help="Domain to serve.")
@click.option(
    "--connections",
    type=whole(1, 1_000_000),
    default=2000,
    show_default=True,
    help="Maximum number of connections.",
)
@click.option(
    "--processes",
    type=whole(1, 64),
    default=1,
    show_default=True,
    help="Number of processes, each with connections up to its file descriptor limit.",
)
@click.option("--lifeline", is_flag=True, hidden=True, help="Exit when standard input ends.")
@flag("--stats", help="Print statistics at the end.")
@flag("--tls", help="Offer STARTTLS, and accept direct TLS on the same port.")
@flag("--tls-required", help="Refuse logins without TLS; implies --tls.")
@click.option(
    "--tls-certificate",
    default="",
    metavar="FILE",
    help="PEM file of the certificate; generated at startup by default. Implies --tls.",
)
@click.option(
    "--tls-key",
    default="",
    metavar="FILE",
    help="PEM file of the private key, if it is in a separate file.",
)
@click.option(
    "--tls-ca-file",
    default="",
    metavar="FILE",
    help="File to write the generated certificate to, for clients to trust. Implies --tls.",
)
def xmppd(**options: Any) -> None:  # arguments of `amoc.xmppd.serve`
    """Run an XMPP server for tests and benchmarks.

    Accounts are user_<id> with password_<id>. Nothing is stored.
    """
    from amoc import xmppd as server

    implied = ("tls_required", "tls_certificate", "tls_ca_file")
    options["tls"] = options["tls"] or any(options[name] for name in implied)
    if options["tls_certificate"] and options["tls_ca_file"]:
        raise UsageError(
            "--tls-ca-file is for a generated certificate, so it cannot be used with"
            " --tls-certificate"
        )
    server.serve(**options)
