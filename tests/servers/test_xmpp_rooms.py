"""Rooms (XEP-0045), on independent servers and on the embedded one."""

from __future__ import annotations

import itertools

import gevent
import pytest

from amoc import xmpp
from amoc.base.errors import ClosedError, ScenarioError
from amoc.xmpp import meters
from tests.servers.conftest import Connect
from tests.unit.xmpp.fake import count

PATIENCE_S = 60.0
pytestmark = pytest.mark.once
_rooms = itertools.count(1)


@pytest.fixture
def room_name() -> str:
    return f"room{next(_rooms)}"


def test_a_room_message_reaches_all_members_including_its_sender(
    connect: Connect, room_name: str
) -> None:
    with (
        connect() as alice,
        connect() as bob,
        alice.join(room_name, nick="alice") as here,
        bob.join(room_name, nick="bob") as there,
    ):
        assert here.created
        assert not there.created
        assert here.jid == f"{room_name}@conference.localhost"
        here.wait_members(2, PATIENCE_S)
        assert sorted(here.members) == sorted(there.members) == ["alice", "bob"]
        assert here.members["alice"].affiliation == "owner"
        assert there.members["bob"].role == "participant"
        here.say("hello")
        for room in (here, there):
            message = room.receive(timeout=PATIENCE_S)
            assert message.body == "hello"
            assert xmpp.from_nick("alice")(message)


def test_members_see_another_member_leave(connect: Connect, room_name: str) -> None:
    inside, lost = count(meters.rooms_joined), count(meters.rooms_lost)
    with connect() as alice, connect() as bob, alice.join(room_name, nick="alice") as room:
        with bob.join(room_name, nick="bob"):
            room.wait_member("bob", PATIENCE_S)
            assert count(meters.rooms_joined) - inside == 2
        assert alice.wait_until(lambda: list(room.members) == ["alice"], PATIENCE_S)
        assert count(meters.rooms_joined) - inside == 1
        with bob.join(room_name, nick="bob"):  # it may rejoin
            room.wait_member("bob", PATIENCE_S)
    assert count(meters.rooms_joined) == inside
    assert count(meters.rooms_lost) == lost


def test_presence_of_members_stays_out_of_the_inbox(connect: Connect, room_name: str) -> None:
    with connect(inbox_size=3) as alice, connect() as bob, alice.join(room_name) as room:
        for number in range(5):
            with bob.join(room_name, nick=f"bob{number}"):
                room.wait_member(f"bob{number}", PATIENCE_S)
        assert alice.receive_nowait(xmpp.is_presence & xmpp.from_jid(room.jid)) is None


def test_a_nickname_that_is_taken_is_a_conflict(connect: Connect, room_name: str) -> None:
    with connect() as alice, connect() as bob, alice.join(room_name, nick="me"):
        with pytest.raises(xmpp.RoomError, match=rf"{room_name}@.* as me: .*conflict") as raised:
            bob.join(room_name, nick="me")
        assert raised.value.condition == "conflict"
        with bob.join(room_name, nick="me2") as room:
            assert room.nick == "me2"


def test_a_client_cannot_join_a_room_twice(connect: Connect, room_name: str) -> None:
    with (
        connect() as alice,
        alice.join(room_name),
        pytest.raises(ScenarioError, match=f"got {room_name}@conference.localhost again"),
    ):
        alice.join(room_name)


def test_old_messages_are_received_only_on_request(connect: Connect, room_name: str) -> None:
    with (
        connect() as alice,
        connect() as bob,
        connect() as carol,
        alice.join(room_name, nick="alice") as room,
    ):
        room.say("old")
        room.receive(timeout=PATIENCE_S)
        with bob.join(room_name) as there, carol.join(room_name, history=10) as here:
            room.say("new")
            assert there.receive(timeout=PATIENCE_S).body == "new"
            old = here.receive(timeout=PATIENCE_S)
            assert old.body == "old"
            assert xmpp.is_delayed(old)
            new = here.receive(timeout=PATIENCE_S)
            assert new.body == "new"
            assert not xmpp.is_delayed(new)


def test_a_protected_room_requires_its_password(connect: Connect, room_name: str) -> None:
    locked = {"passwordprotectedroom": True, "roomsecret": "sesame"}
    with connect() as alice, connect() as bob, alice.join(room_name, configure=locked):
        with pytest.raises(xmpp.RoomError) as raised:
            bob.join(room_name)
        assert raised.value.condition == "not-authorized"
        bob.join(room_name, password="sesame").leave(PATIENCE_S)


def test_members_only_and_affiliations(connect: Connect, room_name: str) -> None:
    with connect() as alice, connect() as bob, alice.join(room_name) as room:
        room.configure({"membersonly": True})
        assert room.configuration()["muc#roomconfig_membersonly"] == ["1"]
        with pytest.raises(xmpp.RoomError) as raised:
            bob.join(room_name)
        assert raised.value.condition == "registration-required"
        room.set_affiliation(bob.user_id or 0, "member")
        members = room.affiliations("member")
        assert [one.jid for one in members] == [bob.bare_jid]
        assert [one.jid for one in room.affiliations("owner")] == [alice.bare_jid]
        with bob.join(room_name, nick="bob") as there:
            room.wait_member("bob", PATIENCE_S)
            assert room.members["bob"].affiliation == "member"
            with pytest.raises(xmpp.IqError):
                there.configure()


def test_subject_nickname_and_private_messages(connect: Connect, room_name: str) -> None:
    with (
        connect() as alice,
        connect() as bob,
        alice.join(room_name, nick="alice") as here,
        bob.join(room_name, nick="bob") as there,
    ):
        here.change_subject("plans", PATIENCE_S)
        assert here.subject == "plans"
        assert bob.wait_until(lambda: there.subject == "plans", PATIENCE_S)
        there.change_nick("robert", PATIENCE_S)
        assert there.nick == "robert"
        here.wait_member("robert", PATIENCE_S)
        assert sorted(here.members) == ["alice", "robert"]
        with pytest.raises(xmpp.RoomRefusedError, match=r"alice.*conflict") as refused:
            here.change_nick("robert", PATIENCE_S)
        assert refused.value.condition == "conflict"
        assert here.nick == "alice"
        here.say("still here")
        assert there.receive(xmpp.has_body("still here"), PATIENCE_S).sender == f"{here.jid}/alice"
        here.say_to("robert", "psst")
        private = bob.receive(xmpp.is_chat, timeout=PATIENCE_S)
        assert (private.body, private.sender) == ("psst", f"{here.jid}/alice")


def test_an_invited_user_receives_the_invitation(connect: Connect, room_name: str) -> None:
    with connect() as alice, connect() as bob, alice.join(room_name) as room:
        room.invite(bob.user_id or 0, "come in")
        invitation = bob.receive(xmpp.is_invitation, timeout=PATIENCE_S)
        assert invitation.sender.partition("/")[0] == room.jid
        assert "come in" in str(invitation)


@pytest.mark.parametrize("how", ["kicked", "banned", "destroyed"])
def test_a_removed_member_gets_the_reason_in_its_waiting_call(
    connect: Connect, room_name: str, how: str
) -> None:
    inside, lost = count(meters.rooms_joined), count(meters.rooms_lost)
    with connect() as alice, connect() as bob:
        room = alice.join(room_name, nick="alice")
        there = bob.join(room_name, nick="bob")
        room.wait_member("bob", PATIENCE_S)
        waiting = gevent.spawn(there.receive, xmpp.has_body("never"), PATIENCE_S)
        gevent.idle()
        if how == "kicked":
            room.kick("bob", "noise")
        elif how == "banned":
            room.ban(bob.user_id or 0, "noise")
        else:
            room.destroy("noise")
        with pytest.raises(xmpp.RoomLeftError, match=how) as raised:
            waiting.get(timeout=PATIENCE_S)
        assert raised.value.condition == how
        with pytest.raises(xmpp.RoomLeftError):
            there.say("hello?")
        there.leave()  # harmless
        if how == "destroyed":
            with pytest.raises(ClosedError):
                room.say("anybody?")
        if how == "banned":
            with pytest.raises(xmpp.RoomError) as refused:
                bob.join(room_name)
            assert refused.value.condition == "forbidden"
        if how == "kicked":
            bob.join(room_name).leave(PATIENCE_S)
    assert count(meters.rooms_lost) - lost == 1
    assert count(meters.rooms_joined) == inside


def test_a_room_of_30_users_lists_all_members(connect: Connect, room_name: str) -> None:
    with connect() as alice, alice.join(room_name, nick="alice") as room:
        clients = [connect(inbox_size=0) for _ in range(30)]
        try:
            rooms = [client.join(room_name) for client in clients]
            for one in (room, *rooms):
                one.wait_members(31, PATIENCE_S)
            for one in rooms[:20]:
                one.leave(PATIENCE_S)
            assert alice.wait_until(lambda: len(room.members) == 11, PATIENCE_S)
        finally:
            for client in clients:
                client.close()


def test_users_that_join_a_new_room_at_once_all_get_in(connect: Connect, room_name: str) -> None:
    clients = [connect(inbox_size=0) for _ in range(20)]
    try:
        joins = [gevent.spawn(client.join, room_name) for client in clients]
        rooms = [one.get(timeout=PATIENCE_S) for one in joins]
        for room in rooms:
            room.wait_members(20, PATIENCE_S)
        assert sum(room.created for room in rooms) == 1
    finally:
        for client in clients:
            client.close()


def test_a_rooms_archive_is_read_in_pages(connect: Connect, room_name: str) -> None:
    with connect() as alice, alice.join(room_name, nick="alice") as room:
        for number in range(5):
            room.say(f"n{number}")
            room.receive(timeout=PATIENCE_S)
        received = count(meters.messages_received)
        pages = list(room.archive(last=4, page_size=2))
        assert count(meters.messages_received) == received
        bodies = [[one.message.body for one in page.messages] for page in pages]
        assert bodies == [["n3", "n4"], ["n1", "n2"]]
        assert alice.receive_nowait(xmpp.is_message & xmpp.has_body("n1")) is None


def test_a_resumed_session_is_still_in_its_room(connect: Connect, room_name: str) -> None:
    with connect() as alice, connect(resumable=True) as bob, alice.join(room_name) as room:
        there = bob.join(room_name, nick="bob")
        room.wait_member("bob", PATIENCE_S)
        bob.cut(reset=True)
        room.say("while bob was away")
        assert bob.resume(PATIENCE_S)
        assert there.receive(timeout=PATIENCE_S).body == "while bob was away"
        there.say("back")
        assert room.receive(xmpp.has_body("back"), PATIENCE_S)
        there.leave(PATIENCE_S)


def test_a_session_that_was_not_resumed_is_in_no_room(connect: Connect, room_name: str) -> None:
    inside = count(meters.rooms_joined)
    with connect() as alice, connect(resumable=True) as bob, alice.join(room_name) as room:
        there = bob.join(room_name, nick="bob")
        room.wait_member("bob", PATIENCE_S)
        bob.cut(reset=True)
        connect(bob.user_id).close()  # it replaces the lost session
        assert not bob.resume(PATIENCE_S)
        with pytest.raises(ClosedError, match="has left, or its session ended"):
            there.say("hello?")
        assert count(meters.rooms_joined) - inside == 1
        with bob.join(room_name, nick="bob") as again:
            again.say("hello")
            assert room.receive(timeout=PATIENCE_S).body == "hello"
    assert count(meters.rooms_joined) == inside
