"""Queries whose results arrive as messages: archives and MongooseIM's inbox.

MongooseIM is not installed where these tests run: scripted peers stand in for its inbox.
"""

from __future__ import annotations

from typing import Final

import pytest

from amoc import xmpp
from amoc.xmpp import meters
from amoc.xmpp.session_waits import MAX_RESULTS, MAX_RESULTS_BYTES
from tests.unit.xmpp.fake import PATIENCE_S, Conn, connect, count, idle, serving

MAM: Final = "xmlns='urn:xmpp:mam:2'"
FORWARD: Final = "xmlns='urn:xmpp:forward:0'"
DELAY: Final = "<delay xmlns='urn:xmpp:delay' stamp='2026-01-01T00:00:00Z'/>"


def result(query: str, number: int, sender: str = "user_1@localhost", own: str = MAM) -> bytes:
    return (
        f"<message from='{sender}'><result {own} queryid='{query}' id='id{number}' unread='3'>"
        f"<forwarded {FORWARD}>{DELAY}<message xmlns='jabber:client' from='user_2@localhost/x'"
        f" to='user_1@localhost'><body>m{number}</body></message></forwarded></result></message>"
    ).encode()


def fin(stanza_id: str) -> bytes:
    return (
        f"<iq type='result' id='{stanza_id}'><fin {MAM} complete='true'>"
        "<set xmlns='http://jabber.org/protocol/rsm'><count>nonsense</count></set></fin></iq>"
    ).encode()


def asked(conn: Conn) -> tuple[str, str]:
    """Return the ids of the next iq and its query."""
    found = conn.expect(rb"<iq (?=[^>]*id='([^']*)')[^>]*>.*?queryid='([^']*)'.*?</iq>")
    return found[1].decode(), found[2].decode()


def test_unsolicited_results_are_ignored() -> None:
    def script(conn: Conn) -> None:
        conn.log_in()
        stanza_id, query = asked(conn)
        conn.say(result(query, 1))
        conn.say(result(query, 2, sender="mallory@localhost"))
        conn.say(result("other", 3))
        conn.say(result(query, 4, own="xmlns='urn:x'"))
        conn.say(fin(stanza_id))
        idle(conn)

    received = count(meters.messages_received)
    with serving(script) as server, connect(server) as client:
        (page,) = client.archive()
        assert [one.message.body for one in page.messages] == ["m1"]
        assert page.messages[0].stamp == "2026-01-01T00:00:00Z"
        assert page.total is None
        assert page.complete
        kept = [client.receive(timeout=PATIENCE_S) for _ in range(3)]
        assert all(one.body is None for one in kept)
    # Anything that claims to be an archive result is not counted as a message either.
    assert count(meters.messages_received) - received == 1


def test_empty_results_are_ignored() -> None:
    def script(conn: Conn) -> None:
        conn.log_in()
        stanza_id, query = asked(conn)
        conn.say(f"<message><result {MAM} queryid='{query}'/></message>".encode())
        inside = f"<forwarded {FORWARD}/>"
        conn.say(f"<message><result {MAM} queryid='{query}'>{inside}</result></message>".encode())
        conn.say(fin(stanza_id))
        idle(conn)

    with serving(script) as server, connect(server) as client:
        (page,) = client.archive()
        assert page.messages == []


def test_a_page_with_too_many_results_ends_the_session() -> None:
    def script(conn: Conn) -> None:
        conn.log_in()
        _, query = asked(conn)
        for _ in range(MAX_RESULTS // 100 + 1):
            conn.say(result(query, 1) * 100)
        conn.rest()

    with (
        serving(script) as server,
        connect(server) as client,
        pytest.raises(xmpp.BadStreamError, match=f"more than {MAX_RESULTS} results"),
    ):
        list(client.archive())


def test_a_page_with_too_many_bytes_ends_the_session() -> None:
    def script(conn: Conn) -> None:
        conn.log_in()
        _, query = asked(conn)
        long = result(query, 1).replace(b"m1", b"x" * 250_000)
        for _ in range(MAX_RESULTS_BYTES // 250_000 + 1):
            conn.say(long)
        conn.rest()

    with (
        serving(script) as server,
        connect(server) as client,
        pytest.raises(xmpp.BadStreamError, match=f"more than {MAX_RESULTS_BYTES} bytes"),
    ):
        list(client.archive())


def test_paging_stops_if_a_page_makes_no_progress() -> None:
    def script(conn: Conn) -> None:
        conn.log_in()
        for _ in range(2):
            stanza_id, query = asked(conn)
            conn.say(result(query, 1))
            conn.say(fin(stanza_id).replace(b" complete='true'", b""))
        idle(conn)

    with serving(script) as server, connect(server) as client:
        assert len(list(client.archive())) == 2


def test_an_inbox_lists_conversations() -> None:
    """The peer is a stand-in for MongooseIM, which is not installed."""
    inbox = "xmlns='erlang-solutions.com:xmpp:inbox:0'"

    def script(conn: Conn) -> None:
        conn.log_in()
        stanza_id, query = asked(conn)
        conn.say(result(query, 1, own=inbox))
        conn.say(f"<iq type='result' id='{stanza_id}'><fin {inbox}/></iq>".encode())
        reset = conn.expect(rb"<iq type='set' id='([^']*)'><reset [^>]*jid='user_2@localhost'/>")
        conn.say(b"<iq type='result' id='%s'/>" % reset[1])
        idle(conn)

    received = count(meters.messages_received)
    with serving(script) as server, connect(server) as client:
        (found,) = client.inbox(unread_only=True)
        assert (found.with_, found.unread, found.message.body) == ("user_2@localhost", 3, "m1")
        client.mark_read(2)
    assert count(meters.messages_received) == received
