"""From a server's address to a connection, over the transport that the address names.

If TLS comes first, the certificate is checked for the host in the address over HTTP (RFC 9110
section 4.3.4), and for the user's domain over TCP (RFC 6120 section 13.7.2.1).
"""

from __future__ import annotations

from functools import partial
from time import monotonic_ns
from typing import Final

from amoc.base.clock import limit_ns
from amoc.base.errors import ScenarioError
from amoc.xmpp import options
from amoc.xmpp.connection import securing, server_addresses
from amoc.xmpp.connection.plan import Plan
from amoc.xmpp.connection.server_url import BOSH, TCP, WEBSOCKET, Server, parse_servers
from amoc.xmpp.connection.sockets import connected_to
from amoc.xmpp.pattern_reader import body_reader, stanza_reader
from amoc.xmpp.stanza import PARSERS
from amoc.xmpp.transports.bosh import BoshTransport
from amoc.xmpp.transports.connection import Connection, Transport
from amoc.xmpp.transports.tcp import TcpTransport
from amoc.xmpp.transports.websocket import open_websocket
from amoc.xmpp.wire.bosh import Dialogue, Polling
from amoc.xmpp.wire.framing import Framer
from amoc.xmpp.wire.message_framing import MessageFramer

FDS_PER_USER: Final = 1
"""File descriptors held by a user with one connection."""
STANZAS_IN_AN_ANSWER: Final = 4
"""Maximum number of stanzas of xmpp_max_stanza_bytes in one BOSH answer."""


def connection_to(server: Server, plan: Plan, who: str, deadline_ns: int) -> Connection:
    """Return a new connection to `server`.

    Args:
        server: The server's address and transport.
        plan: What the user connects with.
        who: User and server, for messages.
        deadline_ns: When to give up, on the monotonic clock.

    Raises:
        ConnectError: No connection could be made.
        ScenarioError: The transport does not support the requested kind of TLS.
    """
    limit = plan.max_stanza_bytes
    if server.transport == TCP:
        return Connection(
            _bytes_to(server, plan, who, deadline_ns), Framer(PARSERS, limit, stanza_reader.read)
        )
    if not server.secure and plan.tls in (options.STARTTLS, options.DIRECT):
        raise ScenarioError(f"tls is {plan.tls}, so {server} must begin with {server.scheme}s://")
    if server.transport == WEBSOCKET:
        below = _bytes_to(server, plan, who, deadline_ns)
        transport = open_websocket(below, server, who, limit, deadline_ns)
        return Connection(transport, MessageFramer(PARSERS, limit, stanza_reader.read))
    dialogue = Dialogue(PARSERS, _polling(), body_reader.read)
    dial = partial(_dial, server, plan, who)
    return Connection(
        BoshTransport(dial, dialogue, server, who, STANZAS_IN_AN_ANSWER * limit), dialogue
    )


def fds_per_user() -> int:
    """Return how many file descriptors a connected user holds, by the settings."""
    servers = parse_servers(options.xmpp_servers.get())
    return _polling().requests if any(one.transport == BOSH for one in servers) else FDS_PER_USER


def _polling() -> Polling:
    hold = options.xmpp_bosh_hold.get()
    requests = max(options.xmpp_bosh_requests.get(), hold + 1)
    return Polling(options.xmpp_bosh_wait.get(), hold, requests)


def _dial(server: Server, plan: Plan, who: str) -> Transport:
    """Open another connection for a session that needs several, at any time during the session."""
    return _bytes_to(server, plan, who, monotonic_ns() + limit_ns(plan.timeout))


def _bytes_to(server: Server, plan: Plan, who: str, deadline_ns: int) -> Transport:
    """Open a connection that carries bytes, through TLS if TLS comes first."""
    source = server_addresses.source_for(plan.me.user_id)
    below = TcpTransport(connected_to(server, source, who, deadline_ns))
    over_tcp = server.transport == TCP
    if not server.secure and not (over_tcp and plan.tls == options.DIRECT):
        return below
    try:
        name = plan.me.domain if over_tcp else server.host
        secrets = securing.terms_for(plan.me.user_id, name, server)
    except BaseException:
        below.close()
        raise
    return securing.secured(below, secrets, who, deadline_ns)
