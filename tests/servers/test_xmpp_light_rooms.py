"""Light rooms, which are MongooseIM's, on the embedded server: MongooseIM is not installed."""

from __future__ import annotations

import itertools

import pytest

from amoc import xmpp
from tests.servers.conftest import Connect

PATIENCE_S = 60.0
pytestmark = [pytest.mark.once, pytest.mark.parametrize("services", ["embedded"], indirect=True)]
_rooms = itertools.count(1)


@pytest.fixture
def name() -> str:
    return f"plans{next(_rooms)}"


def test_members_talk_in_a_light_room(connect: Connect, name: str) -> None:
    with connect() as alice, connect() as bob, connect() as carol:
        room = alice.create_light_room(name, members=[bob.user_id or 0, carol.bare_jid])
        assert room.jid == f"{name}@muclight.localhost"
        assert room.members() == {
            alice.bare_jid: "owner",
            bob.bare_jid: "member",
            carol.bare_jid: "member",
        }
        there = bob.light_room(name)
        room.say("hello")
        for place in (room, there, carol.light_room(name)):
            message = place.receive(timeout=PATIENCE_S)
            assert (message.body, message.sender) == ("hello", f"{room.jid}/{alice.bare_jid}")
        there.leave()
        assert bob.bare_jid not in room.members()
        with pytest.raises(xmpp.IqError):
            there.members()
        room.remove(carol.user_id or 0)
        assert list(room.members()) == [alice.bare_jid]
        room.add(bob.user_id or 0)
        there.say("back again")
        assert room.receive(xmpp.has_body("back again"), PATIENCE_S)


def test_a_light_room_is_configured_and_destroyed(connect: Connect, name: str) -> None:
    with connect() as alice:
        room = alice.create_light_room(name)
        assert room.configuration()["roomname"] == name
        room.configure({"subject": "plans & <more>"})
        assert room.configuration()["subject"] == "plans & <more>"
        info = room.info()
        assert info.members == {alice.bare_jid: "owner"}
        assert info.configuration["subject"] == "plans & <more>"
        assert info.version
        with pytest.raises(xmpp.IqError, match="conflict"):
            alice.create_light_room(name)
        room.destroy()
        with pytest.raises(xmpp.IqError, match="item-not-found"):
            room.info()


def test_a_light_rooms_archive(connect: Connect, name: str) -> None:
    with connect() as alice:
        room = alice.create_light_room(name)
        for number in range(3):
            room.say(f"n{number}")
            room.receive(xmpp.has_body(f"n{number}"), PATIENCE_S)
        (page,) = room.archive(last=2)
        assert [one.message.body for one in page.messages] == ["n1", "n2"]
