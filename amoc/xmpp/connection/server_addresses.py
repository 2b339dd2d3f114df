"""The server that each user connects to, and the IP addresses of its name."""

from __future__ import annotations

from weakref import WeakKeyDictionary

from amoc.base import name_lookup
from amoc.base.context import find
from amoc.base.errors import ScenarioError, value_error_as
from amoc.base.name_lookup import Address
from amoc.base.text import names_in
from amoc.ipc import rpc
from amoc.xmpp import options
from amoc.xmpp.connection import causes, server_url
from amoc.xmpp.connection.server_url import Server
from amoc.xmpp.errors import ConnectError

_certificates: dict[Server, str] = {}
_embedded_of: WeakKeyDictionary[rpc.Handler, tuple[Server, ...]] = WeakKeyDictionary()


def server_for(user_id: int | None, attempt: int, domain: str, given: str | None) -> Server:
    """Return the server for an attempt: `given`, one of xmpp_servers, or the embedded server.

    The first user of a worker that needs the embedded server waits until it listens. Outside a run
    there is no embedded server, and the domain itself names the server.

    Raises:
        ScenarioError: `given` is not an address, or the embedded server cannot be started.
        UserStopped: The user was asked to stop while it waited.
    """
    if given is not None:
        with value_error_as(ScenarioError, "server "):
            return server_url.parse_server(given)
    servers = server_url.parse_servers(options.xmpp_servers.get()) or _embedded()
    if not servers:
        return Server(domain, server_url.DEFAULT_PORT)
    return servers[((user_id or 0) + attempt) % len(servers)]


def _embedded() -> tuple[Server, ...]:
    run = find(rpc.Handler)
    if run is None:
        return ()
    servers = _embedded_of.get(run)
    if servers is None:
        answer = rpc.ask(rpc.XMPPD_ADDRESS, timeout_s=rpc.XMPPD_S + 5.0, interruptible=True)
        address, _, certificate = answer.partition("\n")
        servers = server_url.parse_servers(address)
        if options.xmpp_transport.get() == "websocket":
            servers = tuple(
                server_url.over_websocket(server, secure=bool(certificate)) for server in servers
            )
        _embedded_of[run] = servers
        _certificates.clear()
        _certificates.update(dict.fromkeys(servers, certificate))
    return servers


def certificate_of(server: Server) -> str:
    """Return the certificate (PEM) that the embedded server made for itself; empty for others."""
    return _certificates.get(server, "")


def source_for(user_id: int | None) -> str | None:
    """Return the local address that a user connects from; None for the default."""
    sources = names_in(options.xmpp_source_addresses.get())
    return sources[(user_id or 0) % len(sources)] if sources else None


def resolve(server: Server, who: str, timeout: float) -> tuple[Address, ...]:
    """Return the addresses of `server`, best first; see `amoc.base.name_lookup.resolve`.

    Raises:
        ConnectError: They cannot be found.
    """
    try:
        return name_lookup.resolve(server.host, server.port, timeout)
    except OSError as error:
        raise ConnectError(
            f"{who}: the name {server.host} cannot be resolved: {error.strerror or error}",
            causes.NAME_UNKNOWN,
        ) from None
