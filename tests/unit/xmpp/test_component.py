"""External components (XEP-0114), including servers that misbehave."""

from __future__ import annotations

import hashlib
from collections.abc import Callable

import pytest

from amoc import xmpp
from tests.unit.xmpp.fake import PATIENCE_S, Conn, FakeServer, idle, serving

HEADER = (
    b"<?xml version='1.0'?><stream:stream xmlns:stream='http://etherx.jabber.org/streams'"
    b" xmlns='jabber:component:accept' from='c.localhost' id='s&lt;1'>"
)
CLIENT_HEADER = HEADER.replace(b"jabber:component:accept", b"jabber:client")


def attach(server: FakeServer, timeout: float = PATIENCE_S) -> xmpp.Component:
    return xmpp.component("c.localhost", "s3cret", server.address, timeout=timeout)


def accepting(after: Callable[[Conn], object]) -> Callable[[Conn], object]:
    """A script that accepts the component and runs `after`."""

    def script(conn: Conn) -> None:
        conn.expect(rb"<stream:stream xmlns='jabber:component:accept' [^>]*to='c.localhost'>")
        conn.say(HEADER)
        proof = conn.expect(rb"<handshake>([0-9a-f]{40})</handshake>")[1].decode()
        assert proof == hashlib.sha1(b"s<1s3cret").hexdigest()
        conn.say(b"<handshake/>")
        after(conn)

    return script


def test_a_component_can_do_everything_a_client_can() -> None:
    def after(conn: Conn) -> None:
        conn.say(b"<message from='a@b/c' to='x@c.localhost' type='chat'><body>hi</body></message>")
        conn.expect(rb"<message from='x@c.localhost' to='a@b/c' id='[^']+' type='chat'><body>yes")
        conn.expect(rb"<presence from='c.localhost' to='a@b'/>")
        conn.expect(rb"<message from='c.localhost' to='a@b' type='chat' id='[^']+'><body>2 &lt; 3<")
        conn.expect(rb"<message  from='y@c.localhost'>")
        conn.expect(rb"<iq from='c.localhost' type='get' to='a@b' id='([^']+)'>")
        conn.say(b"<iq from='a@b' to='c.localhost' type='result' id='q1'/>")
        conn.say(
            b"<iq from='a@b' to='z@c.localhost' type='get' id='p'><ping xmlns='urn:xmpp:ping'/>"
        )
        conn.say(b"</iq>")
        conn.expect(rb"<iq type='result' from='z@c.localhost' to='a@b' id='p'/>")
        conn.say(b"<message to='c.localhost' type='chat'><body>done</body></message>")
        idle(conn)

    with serving(accepting(after)) as server, attach(server) as component:
        message = component.receive(xmpp.is_chat, timeout=PATIENCE_S)
        assert message["body"] == message.body == "hi"
        component.reply(message, "yes")
        component.send_presence("a@b")
        component.send_chat("a@b", "2 < 3")
        component.send("<message  from='y@c.localhost'><body/></message>")
        assert component.request("<q xmlns='urn:q'/>", to="a@b").type == "result"
        assert component.receive(xmpp.is_chat, timeout=PATIENCE_S).body == "done"


def test_a_component_confirms_messages_from_its_domain() -> None:
    def after(conn: Conn) -> None:
        conn.say(b"<message from='a@b/c' to='x@c.localhost' type='chat' id='m'><body>hi</body>")
        conn.say(b"<request xmlns='urn:xmpp:receipts'/></message>")
        conn.expect(rb"<message from='c.localhost' to='a@b/c' type='chat'><received [^>]* id='m'/>")
        idle(conn)

    with serving(accepting(after)) as server, attach(server) as component:
        component.send_receipts()
        assert component.receive(xmpp.is_chat, timeout=PATIENCE_S).body == "hi"


@pytest.mark.parametrize(
    ("says", "error", "condition"),
    [
        (CLIENT_HEADER, xmpp.BadStreamError, "invalid-namespace"),
        (HEADER + b"<message/>", xmpp.BadStreamError, "invalid-xml"),
        (HEADER + b"<!-- -->", xmpp.BadStreamError, "restricted-xml"),
        (HEADER + b"<message xmlns='jabber:server'/>", xmpp.BadStreamError, "invalid-namespace"),
        (HEADER + b"</stream:stream>", xmpp.Disconnected, None),
        (b"HTTP/1.1 400 Bad Request\r\n\r\n", xmpp.BadStreamError, "not-well-formed"),
        (
            HEADER + b"<stream:error><host-unknown xmlns='urn:ietf:params:xml:ns:xmpp-streams'/>"
            b"</stream:error>",
            xmpp.StreamError,
            "host-unknown",
        ),
    ],
)
def test_misbehaviour_of_the_server_is_diagnosed(
    says: bytes, error: type[xmpp.XmppError], condition: str | None
) -> None:
    def script(conn: Conn) -> None:
        conn.expect(rb"<stream:stream[^>]*>")
        conn.say(says)
        conn.rest()

    with serving(script) as server, pytest.raises(error, match=r"component c\.localhost") as raised:
        attach(server)
    assert getattr(raised.value, "condition", None) == condition


def test_a_silent_server_times_out() -> None:
    with serving(lambda conn: conn.rest()) as server, pytest.raises(xmpp.ConnectTimeout):
        attach(server, timeout=0.05)


def test_a_violation_during_the_session_ends_the_component() -> None:
    def after(conn: Conn) -> None:
        conn.say(b"<message from='a@b'><body/></message>" * 3 + b"<!DOCTYPE x>")
        conn.rest()

    with (
        serving(accepting(after)) as server,
        attach(server) as component,
        pytest.raises(xmpp.BadStreamError, match=r"restricted-xml|not-well-formed"),
    ):
        component.receive(xmpp.is_error, timeout=PATIENCE_S)
