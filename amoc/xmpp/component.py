"""External components (XEP-0114): a whole domain of a server, served by one connection.

with xmpp.component("echo.localhost", "secret", "127.0.0.1:5347") as echo:
    message = echo.receive(xmpp.is_chat)
    echo.reply(message, message.body)
"""

from __future__ import annotations

import re
from time import monotonic_ns
from typing import Final

from amoc.base.clock import limit_ns
from amoc.base.errors import ScenarioError
from amoc.xmpp import errors, meters, options
from amoc.xmpp.client import Client
from amoc.xmpp.connection import server_addresses
from amoc.xmpp.connection.login import Negotiation
from amoc.xmpp.connection.sockets import connected_to
from amoc.xmpp.session import Session
from amoc.xmpp.stanza import MAX_DEPTH, Stanza
from amoc.xmpp.stream import Stream
from amoc.xmpp.transports.connection import Connection
from amoc.xmpp.transports.tcp import TcpTransport
from amoc.xmpp.wire.component import HANDSHAKE, ComponentFramer, ComponentParser, handshake
from amoc.xmpp.wire.parsers import Parsers
from amoc.xmpp.wire.xml_text import attributes, escape

PARSERS: Final = Parsers(ComponentParser, MAX_DEPTH)
_START: Final = re.compile(rb"\s*<(?:message|presence|iq)(?=[\s/>])")
_FROM: Final = re.compile(rb"<[^>]*\sfrom\s*=")


class ComponentStream(Stream):
    """A component's stream: stanzas without a sender are sent from its domain."""

    __slots__ = ("_domain",)

    def open(self, domain: str) -> None:
        """Open the stream; see `Stream.open`."""
        self._domain = domain
        super().open(domain)

    def send(self, data: bytes) -> bool:
        """Send one whole element; see `Stream.send`."""
        start = _START.match(data)
        if start is not None and not _FROM.match(data, start.end() - len(start[0].lstrip())):
            at = start.end()
            data = data[:at] + f" from='{escape(self._domain)}'".encode() + data[at:]
        return super().send(data)


class Component(Client):
    """A component's connection: a client whose JID is a domain, and which receives all its traffic.

    Stanzas without a sender are sent from its domain; raw stanzas may be from any address in it.
    """

    __slots__ = ()

    def reply(self, message: Stanza, body: str) -> None:
        """Answer a message, from the address to which it was sent.

        Raises:
            SendTimeout, XmppError, ClosedError, ScenarioError: As `send_chat`.
        """
        text = escape(body)
        self._wait_ready()
        stanza_id = self.stamp(message.sender, message.type)
        head = attributes(from_=message.to, to=message.sender, id=stanza_id, type=message.type)
        self._put(f"<message{head}><body>{text}</body></message>".encode(), True)


def component(
    jid: str,
    secret: str,
    server: str,
    *,
    timeout: float | None = None,
    inbox_size: int | None = None,
    interrupts: bool = True,
) -> Component:
    """Connect as an external component, in one attempt; use it in a ``with`` block.

    Args:
        jid: The component's domain, which the server must know.
        secret: The secret that it shares with the server.
        server: Where the server accepts components, ``host:port``.
        timeout: How long connecting may take, in seconds; None for xmpp_connect_timeout.
        inbox_size: As in `connect`.
        interrupts: As in `connect`.

    Raises:
        StreamError: The server refused; `condition` is ``not-authorized`` for a wrong secret.
        ConnectError, ConnectTimeout, Disconnected: As `connect`.
        ScenarioError: `server` is not an address.
    """
    if not jid or "@" in jid or "/" in jid:
        raise ScenarioError(f"a component's JID must be a domain, got {jid!r}")
    where = server_addresses.server_for(None, 0, jid, server)
    who = f"component {jid} at {where}"
    seconds = options.xmpp_connect_timeout.get() if timeout is None else timeout
    begin_ns = monotonic_ns()
    deadline_ns = begin_ns + limit_ns(seconds)
    try:
        sock = connected_to(where, None, who, deadline_ns)
        framing = ComponentFramer(PARSERS, options.xmpp_max_stanza_bytes.get())
        connection = Connection(TcpTransport(sock), framing)
        talk = Negotiation(connection, who, deadline_ns, ComponentStream)
        try:
            _shake_hands(talk, framing, jid, secret)
        except BaseException as error:
            if isinstance(error, errors.BadStreamError):
                talk.stream.fail(error)
            talk.stream.abort()
            raise
    except errors.XmppError as error:
        meters.attempt_failed(error, begin_ns)
        meters.connections_given_up.inc()
        raise
    meters.attempt_succeeded(begin_ns)
    size = options.xmpp_inbox_size.get() if inbox_size is None else inbox_size
    session = Session(talk.stream, jid, size, interrupts)
    session.begin(talk.early)
    session.wait_resumed()
    return Component(session, None)


def _shake_hands(talk: Negotiation, framing: ComponentFramer, jid: str, secret: str) -> None:
    talk.stream.open(jid)
    while (stream_id := framing.stream_id) is None:
        talk.wait_turn("its stream header")
    talk.stream.send(handshake(stream_id, secret))
    answer = talk.expect("its answer to the handshake")
    if answer.tag != HANDSHAKE:
        raise errors.BadStreamError(
            talk.stream.who,
            "invalid-xml",
            f"the answer to the handshake must be <handshake/>, got {errors.quoted(answer.tag)}",
        )
