"""A server without sockets: sessions that are fed bytes, and whose output is recorded.

Everything but the transport is real, so that what a client would receive can be compared byte by
byte, and a property can be checked over thousands of inputs a second.
"""

from __future__ import annotations

import base64
from dataclasses import dataclass, field
from xml.etree import ElementTree as ET

from amoc.xmpp.wire.framing import Framer
from amoc.xmppd.limits import Limits
from amoc.xmppd.routing import Domain
from amoc.xmppd.session import Session

HEADER = (
    b"<?xml version='1.0'?><stream:stream to='localhost' version='1.0' xmlns='jabber:client'"
    b" xmlns:stream='http://etherx.jabber.org/streams'>"
)
SASL = "urn:ietf:params:xml:ns:xmpp-sasl"


def sasl_auth(mechanism: str, data: bytes | None) -> bytes:
    """Return an <auth/> element; None omits the initial response."""
    text = "" if data is None else base64.b64encode(data).decode() or "="
    return f"<auth xmlns='{SASL}' mechanism='{mechanism}'>{text}</auth>".encode()


def plain_auth(user: str, password: str) -> bytes:
    """Return a login with PLAIN."""
    return sasl_auth("PLAIN", f"\0{user}\0{password}".encode())


def bind(resource: str | None) -> bytes:
    """Return a request to bind a resource."""
    wanted = "" if resource is None else f"<resource>{resource}</resource>"
    return (
        "<iq type='set' id='bind'><bind xmlns='urn:ietf:params:xml:ns:xmpp-bind'>"
        f"{wanted}</bind></iq>"
    ).encode()


@dataclass
class Outlet:
    """The transport as a session sees it."""

    said: bytearray = field(default_factory=bytearray)
    finished: bool = False
    in_time: bool = False

    def write(self, data: bytes) -> None:
        if not self.finished:
            self.said += data

    def finish(self, *last_words: bytes) -> None:
        self.write(b"".join(last_words))
        self.finished = True

    def logged_in(self) -> None:
        self.in_time = True

    can_start_tls = False


class Client:
    """One client of a domain in this process."""

    def __init__(self, domain: Domain) -> None:
        self.outlet = Outlet()
        framer = Framer(domain.parsers, domain.limits.login_stanza_bytes)
        self.session = Session(domain, self.outlet, framer)

    def say(self, *chunks: bytes) -> bytes:
        """Send the chunks one by one; return the response."""
        self.send(*chunks)
        return self.heard()

    def send(self, *chunks: bytes) -> None:
        """Send the chunks one by one."""
        for chunk in chunks:
            # As in the real transport: input after the end of the stream is ignored.
            if not self.outlet.finished:
                self.session.received(chunk)

    def heard(self) -> bytes:
        """Return everything received since the last call."""
        said = bytes(self.outlet.said)
        self.outlet.said.clear()
        return said

    def stanzas(self) -> list[ET.Element]:
        """Return the stanzas received since the last call."""
        return list(in_stream(self.heard()))


def in_stream(data: bytes) -> ET.Element:
    """Parse `data`, sent by a server inside an open stream, as the children of one element."""
    head = b"<stream:stream xmlns='jabber:client' xmlns:stream='http://etherx.jabber.org/streams'>"
    return ET.fromstring(head + data.removesuffix(b"</stream:stream>") + b"</stream:stream>")


def new_domain(**limits: float) -> Domain:
    """Return a domain named localhost with some limits changed; archiving is off by default."""
    return Domain("localhost", Limits(**{"archived": 0, **limits}))  # type: ignore[arg-type]


def logged_in(
    domain: Domain, number: int, resource: str = "r", *, header: bytes = HEADER, there: bool = True
) -> Client:
    """Return a client that is bound, has sent presence if `there`, and has nothing unread."""
    client = Client(domain)
    client.say(header, plain_auth(f"user_{number}", f"password_{number}"), header, bind(resource))
    if there:
        client.say(b"<presence/>" if header == HEADER else b"<presence xmlns='jabber:client'/>")
    client.heard()
    assert client.session.jid == f"user_{number}@localhost/{resource}"
    return client


def stream_error(data: bytes) -> str:
    """Return the condition of the stream error in a server's output; empty if there is none."""
    start = data.find(b"<stream:error>")
    if start < 0:
        return ""
    assert data.endswith(b"</stream:error></stream:stream>"), data
    return in_stream(data[start:])[0][0].tag.rpartition("}")[2]


def stanza_error(stanza: ET.Element) -> str:
    """Return the condition of an error stanza."""
    assert stanza.get("type") == "error"
    error = stanza.find("{jabber:client}error")
    assert error is not None
    return error[0].tag.rpartition("}")[2]
