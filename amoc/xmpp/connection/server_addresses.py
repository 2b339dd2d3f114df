"""Where to connect to: a server for each user, and the addresses of its name.

Looking a name up takes a thread of its own, so a name that thousands of users want at once is
looked up once, and remembered for a minute.
"""

from __future__ import annotations

import ipaddress
import socket as constants
from _socket import getaddrinfo  # the plain one, whether patched or not
from time import monotonic
from typing import TYPE_CHECKING, Any, Final
from weakref import WeakKeyDictionary

import gevent
from gevent import get_hub

from amoc.base.context import find
from amoc.base.errors import ScenarioError
from amoc.base.tracebacks import copy_of
from amoc.base.waiting import Waiter, wait_despite_pause
from amoc.ipc import rpc
from amoc.xmpp import options
from amoc.xmpp.connection import server_url
from amoc.xmpp.connection.server_url import Server
from amoc.xmpp.transports.tcp import Address as SocketAddress

Address = tuple[int, SocketAddress]
"""Family, and address as `socket.connect` takes it."""

REMEMBER_S: Final = 60.0
MAX_NAMES: Final = 256

_known: dict[Server, tuple[float, tuple[Address, ...]]] = {}
_certificates: dict[Server, str] = {}
_embedded_of: WeakKeyDictionary[rpc.Handler, tuple[Server, ...]] = WeakKeyDictionary()
if TYPE_CHECKING:
    _LookUp = gevent.Greenlet[[Server], tuple[Address, ...] | OSError]
_lookups: dict[Server, _LookUp] = {}


def server_for(user_id: int | None, attempt: int, domain: str, given: str | None) -> Server:
    """The server for an attempt: `given`, or the setting's in turn, or the embedded one.

    The first user of a worker that wants the embedded one waits until it listens. Outside a run
    there is none, and the domain itself is the server.

    Raises:
        ScenarioError: `given` is no address, or the embedded server cannot be started.
        UserStopped: The user was asked to stop while it waited.
    """
    if given is not None:
        try:
            return server_url.parse_server(given)
        except ValueError as error:
            raise ScenarioError(f"server {error}") from None
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
    """The certificate in PEM that the embedded server made for itself; empty for any other."""
    return _certificates.get(server, "")


def source_for(user_id: int | None) -> str | None:
    """The local address that a user connects from; None for the usual one."""
    sources = options.names(options.xmpp_source_addresses.get())
    return sources[(user_id or 0) % len(sources)] if sources else None


def literal(server: Server) -> Address | None:
    """The address of a server that is given by number; None for a name."""
    try:
        version = ipaddress.ip_address(server.host).version
    except ValueError:
        return None
    family = constants.AF_INET if version == 4 else constants.AF_INET6
    return int(family), (server.host, server.port)


def resolve(server: Server, timeout: float) -> tuple[Address, ...]:
    """The addresses of `server`, best first.

    Args:
        server: By name or by number.
        timeout: How long to wait for a name, in seconds.

    Raises:
        OSError: The name is not known; `TimeoutError` if that took too long.
    """
    number = literal(server)
    if number is not None:
        return (number,)
    known = _known.get(server)
    if known is not None and known[0] > monotonic():
        return known[1]
    lookup = _lookups.get(server)
    if lookup is None:
        lookup = _lookups[server] = gevent.spawn(_look_up, server)
    if not _wait_for(lookup, timeout):
        raise TimeoutError(f"the name {server.host} was not resolved in time")
    if isinstance(lookup.value, tuple):
        return lookup.value
    if isinstance(lookup.value, OSError):
        raise copy_of(lookup.value)
    raise OSError("the look-up was cut off")


def _wait_for(lookup: _LookUp, timeout: float) -> bool:
    waiter: Waiter[object] = Waiter()
    lookup.rawlink(waiter.give)
    try:
        return lookup.ready() or wait_despite_pause(waiter, timeout)
    finally:
        lookup.unlink(waiter.give)


def _ask(server: Server) -> list[Any] | OSError:
    """In a thread: what the resolver says. What gevent raises out of a thread leaves cycles."""
    try:
        return getaddrinfo(server.host, server.port, 0, constants.SOCK_STREAM)
    except OSError as error:
        return error.with_traceback(None)
    except UnicodeError as error:
        return OSError(str(error))


def _look_up(server: Server) -> tuple[Address, ...] | OSError:
    try:
        found = get_hub().threadpool.apply(_ask, (server,))
    finally:
        del _lookups[server]
    if isinstance(found, OSError):
        return found
    addresses = tuple(dict.fromkeys((int(family), address) for family, _, _, _, address in found))
    if len(_known) >= MAX_NAMES:
        _known.clear()
    _known[server] = monotonic() + REMEMBER_S, addresses
    return addresses
