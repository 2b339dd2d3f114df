"""Rooms on servers that send invalid stanzas, or valid ones at a bad moment."""

from __future__ import annotations

import gc
import weakref
from collections.abc import Callable

import gevent
import pytest

from amoc import xmpp
from amoc.steps import recorder
from amoc.xmpp import meters
from tests.unit.xmpp.fake import PATIENCE_S, Conn, connect, count, idle, serving

USER = "xmlns='http://jabber.org/protocol/muc#user'"
ROOM = "r@conference.localhost"


def present(nick: str, *codes: str, kind: str = "", more: str = "") -> bytes:
    """Return a member's presence."""
    status = "".join(f"<status code='{code}'/>" for code in codes)
    attrs = f" type='{kind}'" if kind else ""
    item = "<item affiliation='member' role='participant'/>"
    return (
        f"<presence from='{ROOM}/{nick}'{attrs}><x {USER}>{item}{status}{more}</x></presence>"
    ).encode()


def admitting(after: Callable[[Conn], object] = idle, *stanzas: bytes) -> Callable[[Conn], object]:
    """A script of a room that admits the user, sends `stanzas` and runs `after`."""

    def script(conn: Conn) -> None:
        conn.log_in()
        conn.expect(rb"<presence to='r@conference.localhost/user_1'>.*?</presence>")
        conn.say(present("user_1", "110"))
        for stanza in stanzas:
            conn.say(stanza)
        after(conn)

    return script


def confirm_leave(conn: Conn) -> None:
    """Confirm that the user leaves."""
    conn.expect(rb"<presence to='r@conference.localhost/user_1' type='unavailable'/>")
    conn.say(present("user_1", "110", kind="unavailable"))
    idle(conn)


def test_a_join_request_contains_the_given_options() -> None:
    def script(conn: Conn) -> None:
        conn.log_in()
        asked = conn.expect(rb"<presence to='a@b/me &amp; you'>(.*?)</presence>")[1]
        assert asked == (
            b"<x xmlns='http://jabber.org/protocol/muc'><history maxstanzas='0'/>"
            b"<password>&lt;</password></x>"
        )
        conn.say(present("me").replace(ROOM.encode(), b"a@b").replace(b"/me", b"/me &amp; you"))
        idle(conn)

    with serving(script) as server, connect(server) as client:
        assert client.join("a@b", "me & you", password="<").members


@pytest.mark.parametrize(
    ("presence", "name", "reason"),
    [
        (present("user_1", "110", "307", kind="unavailable"), "kicked", ""),
        (present("user_1", "301", kind="unavailable"), "banned", ""),
        (present("user_1", "110", "332", kind="unavailable"), "shutdown", ""),
        (present("user_1", "110", kind="unavailable"), "removed", ""),
        (present("user_1", kind="unavailable", more="<destroy/>"), "destroyed", ""),
    ],
)
def test_a_removed_occupant_gets_the_reason(presence: bytes, name: str, reason: str) -> None:
    lost, inside = count(meters.rooms_lost), count(meters.rooms_joined)

    def after(conn: Conn) -> None:
        conn.expect(rb"<presence/>")
        conn.say(presence)
        idle(conn)

    with serving(admitting(after)) as server, connect(server) as client:
        room = client.join("r")
        assert count(meters.rooms_joined) - inside == 1
        waiting = gevent.spawn(room.wait_members, 5, PATIENCE_S)
        gevent.idle()
        client.send_presence()
        with pytest.raises(xmpp.RoomLeftError, match=f"r@.* as user_1: .* in the room: {name}"):
            waiting.get(timeout=PATIENCE_S)
        with pytest.raises(xmpp.RoomLeftError):
            room.receive(timeout=PATIENCE_S)
    assert count(meters.rooms_lost) - lost == 1
    assert count(meters.rooms_joined) == inside


def test_a_lost_connection_leaves_all_rooms() -> None:
    inside = count(meters.rooms_joined)

    def after(conn: Conn) -> None:
        conn.expect(rb"<presence/>")
        conn.reset()

    with serving(admitting(after)) as server:
        client = connect(server)
        room = client.join("r")
        assert count(meters.rooms_joined) - inside == 1
        client.send_presence()
        with pytest.raises(xmpp.Disconnected), room:
            room.receive(timeout=PATIENCE_S)
        client.close()
    assert count(meters.rooms_joined) == inside


def test_invalid_stanzas_from_a_room_do_no_harm() -> None:
    odd = (
        f"<presence from='{ROOM}'/>".encode(),
        f"<presence from='{ROOM}/ghost' type='error'><error type='wait'/></presence>".encode(),
        f"<presence from='{ROOM}/ghost' type='unavailable'/>".encode(),
        f"<presence from='{ROOM}/ghost' type='subscribe'/>".encode(),
        f"<presence from='{ROOM}/plain'/>".encode(),
        present("ghost", "303", kind="unavailable"),
        f"<message from='{ROOM}' type='groupchat'><subject/></message>".encode(),
        f"<message from='{ROOM}/x' type='groupchat'><body>ok</body></message>".encode(),
    )
    with (
        serving(admitting(confirm_leave, *odd)) as server,
        connect(server) as client,
        client.join("r") as room,
    ):
        assert room.receive(timeout=PATIENCE_S).body == "ok"
        assert sorted(room.members) == ["plain", "user_1"]
        assert room.subject == ""


def test_joining_an_unresponsive_room_times_out_and_can_be_retried() -> None:
    timeouts = count(recorder.of("room_join").failures)
    presence = rb"<presence to='r@conference.localhost/user_1'>"

    def script(conn: Conn) -> None:
        conn.log_in()
        conn.expect(presence)
        conn.expect(presence)
        conn.say(present("user_1", "110"))
        confirm_leave(conn)

    with serving(script) as server, connect(server) as client:
        with pytest.raises(xmpp.ReceiveTimeout, match="did not answer within"):
            client.join("r", timeout=0.05)
        with client.join("r", timeout=PATIENCE_S) as room:  # retry
            assert list(room.members) == ["user_1"]
    assert count(recorder.of("room_join").failures) - timeouts == 1


def test_joining_a_room_not_yet_configured_is_retried() -> None:
    joins = recorder.of("room_join")
    refused, done = count(joins.failures), count(joins.timer)
    locked = (
        f"<presence from='{ROOM}/user_1' type='error'><error type='cancel'>"
        "<item-not-found xmlns='urn:ietf:params:xml:ns:xmpp-stanzas'/></error></presence>"
    ).encode()

    def script(conn: Conn) -> None:
        conn.log_in()
        for _ in range(2):
            conn.expect(rb"<presence to=.*?</presence>")
            conn.say(locked)
        conn.expect(rb"<presence to=.*?</presence>")
        conn.say(present("user_1", "110"))
        confirm_leave(conn)

    with serving(script) as server, connect(server) as client, client.join("r"):
        assert count(joins.timer) - done == 1
    assert count(joins.failures) == refused


def test_a_refused_join_is_counted_by_its_condition() -> None:
    joins = recorder.of("room_join")
    refused, timed = count(joins.failures), count(joins.timer)
    error = (
        f"<presence from='{ROOM}/user_1' type='error'><error type='cancel'>"
        "<conflict xmlns='urn:ietf:params:xml:ns:xmpp-stanzas'/></error></presence>"
    ).encode()

    def script(conn: Conn) -> None:
        conn.log_in()
        conn.expect(rb"<presence to=")
        conn.say(error)
        idle(conn)

    with (
        serving(script) as server,
        connect(server) as client,
        pytest.raises(xmpp.RoomError, match=r"conflict \(the nickname is taken\)") as raised,
    ):
        client.join("r")
    assert raised.value.condition == "conflict"
    assert count(joins.failures) - refused == 1
    assert count(joins.timer) == timed


def test_messages_received_before_a_kick_can_still_be_read() -> None:
    said = f"<message from='{ROOM}/x' type='groupchat'><body>before</body></message>".encode()
    script = admitting(idle, said, present("user_1", "110", "307", kind="unavailable"))
    with serving(script) as server, connect(server) as client:
        room = client.join("r")
        with pytest.raises(xmpp.RoomLeftError):
            room.wait_members(5, PATIENCE_S)
        assert room.receive(timeout=PATIENCE_S).body == "before"
        with pytest.raises(xmpp.RoomLeftError):
            room.receive(timeout=PATIENCE_S)


def test_dropping_a_client_in_a_room_leaves_nothing_behind() -> None:
    members = tuple(present(f"m{number}") for number in range(20))
    with serving(admitting(lambda conn: conn.rest(), *members)) as server:
        client = connect(server)
        room = client.join("r")
        room.wait_members(21, PATIENCE_S)
        gevent.idle()  # the loop has released the callback that woke this greenlet
        gone = weakref.ref(client)
        gc.collect()
        gc.disable()
        try:
            del client, room
            assert gone() is None
        finally:
            gc.enable()
