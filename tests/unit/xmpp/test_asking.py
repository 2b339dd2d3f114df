"""Requests sent by the client, and requests it receives."""

from __future__ import annotations

import gevent
import pytest

from amoc import xmpp
from amoc.base.errors import ScenarioError
from tests.unit.xmpp.fake import (
    MESSAGE,
    PATIENCE_S,
    Conn,
    answering,
    connect,
    idle,
    serving,
    session,
)


@pytest.mark.parametrize(
    ("to", "sender"),
    [
        (None, b""),
        (None, b"from='user_1@localhost'"),
        (None, b"from='user_1@localhost/amoc'"),
        (None, b"from='localhost'"),
        ("localhost", b"from='localhost'"),
        ("localhost", b""),
        ("User_9@LOCALHOST", b"from='user_9@localhost'"),
    ],
)
def test_a_response_from_the_requested_entity_is_accepted(to: str | None, sender: bytes) -> None:
    with (
        serving(answering(b"<iq type='result' id='ID' %s/>" % sender)) as server,
        connect(server) as client,
    ):
        assert client.request("<q xmlns='urn:q'/>", PATIENCE_S, to=to).type == "result"


@pytest.mark.parametrize(
    ("to", "sender"),
    [
        (None, b"from='mallory@localhost'"),
        ("user_9@localhost", b"from='mallory@localhost'"),
        ("user_9@localhost", b""),
        ("localhost", b"from='user_1@localhost'"),
    ],
)
def test_a_response_from_somebody_else_is_not_accepted(to: str | None, sender: bytes) -> None:
    with (
        serving(answering(b"<iq type='result' id='ID' %s/>" % sender)) as server,
        connect(server) as client,
    ):
        with pytest.raises(xmpp.IqTimeout):
            client.request("<q xmlns='urn:q'/>", 0.05, to=to)
        assert client.receive(xmpp.is_answer, timeout=PATIENCE_S).type == "result"


def test_a_refused_request_raises_its_condition_kind_and_text() -> None:
    error = (
        b"<iq type='error' id='ID'><error type='wait'>"
        b"<resource-constraint xmlns='urn:ietf:params:xml:ns:xmpp-stanzas'/>"
        b"<text xmlns='urn:ietf:params:xml:ns:xmpp-stanzas'>later\n</text></error></iq>"
    )
    with (
        serving(answering(error)) as server,
        connect(server) as client,
        pytest.raises(xmpp.IqError, match=r"resource-constraint \(later\)") as raised,
    ):
        client.request("<q xmlns='urn:q'/>")
    assert (raised.value.condition, raised.value.kind) == ("resource-constraint", "wait")
    assert raised.value.text == "later\n"


@pytest.mark.parametrize("iq", ["<iq type='result'/>", "<iq/>"])
def test_an_iq_other_than_get_or_set_is_not_a_request(iq: str) -> None:
    with (
        serving(session(idle)) as server,
        connect(server) as client,
        pytest.raises(ScenarioError, match="get or set"),
    ):
        client.request(iq)


def test_two_pending_requests_cannot_share_an_id() -> None:
    with serving(session(idle)) as server, connect(server) as client:
        first = gevent.spawn(client.request, "<iq type='get' id='a'/>")
        gevent.idle()
        with pytest.raises(ScenarioError, match="got 'a', which is still waiting"):
            client.request("<iq type='get' id='a'/>")
        first.kill()


@pytest.mark.parametrize(
    ("request_", "answer"),
    [
        (
            b"<iq type='get' id='a&amp;b' from='localhost'><ping xmlns='urn:xmpp:ping'/></iq>",
            rb"<iq type='result' to='localhost' id='a&amp;b'/>",
        ),
        (
            b"<iq type='set' id='r'><query xmlns='jabber:iq:roster'/></iq>",
            rb"<iq type='result' id='r'/>",
        ),
        (
            b"<iq type='get' id='v' from='a@b/c'><query xmlns='jabber:iq:version'/></iq>",
            rb"<iq type='error' to='a@b/c' id='v'><error type='cancel'><service-unavailable ",
        ),
        (b"<iq type='get' id='e' from='a@b/c'/>", rb"<iq type='error' to='a@b/c' id='e'>"),
        (
            (
                b"<iq type='set' id='f' from='mallory@b'><query xmlns='jabber:iq:roster'/></iq>"
                b"<iq type='get' id='g'><ping xmlns='urn:xmpp:ping'/></iq>"
            ),
            rb"^<iq type='result' id='g'/>",  # nothing before it
        ),
    ],
    ids=["ping", "roster push", "unknown", "empty", "roster push by a stranger"],
)
def test_incoming_requests_are_answered_while_the_user_waits(
    request_: bytes, answer: bytes
) -> None:
    answered = gevent.event.Event()

    def script(conn: Conn) -> None:
        conn.log_in()
        conn.say(request_)
        conn.expect(answer)
        answered.set()
        conn.say(MESSAGE)
        idle(conn)

    with serving(script) as server, connect(server) as client:
        assert client.receive(xmpp.is_message, timeout=PATIENCE_S).body == "hello"
        assert answered.is_set()


def test_a_request_taken_by_receive_is_left_to_the_user_to_answer() -> None:
    def script(conn: Conn) -> None:
        conn.log_in()
        conn.expect(rb"<presence/>")
        conn.say(b"<iq type='get' id='v' from='a@b/c'><query xmlns='jabber:iq:version'/></iq>")
        conn.expect(rb"^<iq type='result' id='v'/>")
        conn.say(MESSAGE)
        idle(conn)

    with serving(script) as server, connect(server) as client:
        waiting = gevent.spawn(client.receive, xmpp.is_request, PATIENCE_S)
        gevent.idle()
        client.send_presence()
        client.send(f"<iq type='result' id='{waiting.get(timeout=PATIENCE_S).id}'/>")
        assert client.receive(timeout=PATIENCE_S).body == "hello"
