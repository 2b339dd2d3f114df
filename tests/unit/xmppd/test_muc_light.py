"""MUC Light rooms, tested through the bytes that clients send and receive."""

from __future__ import annotations

from xml.etree import ElementTree as ET

import pytest

from amoc.xmppd.routing import Domain
from amoc.xmppd.services.muc_light import LightRooms
from tests.unit.xmppd.lab import Client, logged_in, new_domain, stanza_error
from tests.unit.xmppd.test_account_services import answer

NS = "urn:xmpp:muclight:0"
SERVICE = "muclight.localhost"
ROOM = f"plans@{SERVICE}"
USER = f"{{{NS}#affiliations}}user"
C = "{jabber:client}"


def create(client: Client, *members: int, to: str = ROOM, name: str = "Plans") -> ET.Element:
    users = "".join(f"<user affiliation='member'>user_{it}@localhost</user>" for it in members)
    query = (
        f"<query xmlns='{NS}#create'><configuration><roomname>{name}</roomname></configuration>"
        f"<occupants>{users}</occupants></query>"
    )
    client.send(f"<iq type='set' id='q' to='{to}'>{query}</iq>".encode())
    return next(it for it in client.stanzas() if it.get("id") == "q")


def affiliate(client: Client, **changes: str) -> ET.Element:
    users = "".join(
        f"<user affiliation='{what}'>{user}@localhost</user>" for user, what in changes.items()
    )
    return answer(client, "set", f"<query xmlns='{NS}#affiliations'>{users}</query>", ROOM)


def affiliations_received(client: Client) -> list[dict[str, str]]:
    """Return the affiliations in each notification that a client received, by user."""
    return [
        {(it.text or "").partition("@")[0]: it.get("affiliation", "") for it in x.iter(USER)}
        for message in client.stanzas()
        for x in message.iterfind(f"{{{NS}#affiliations}}x")
    ]


@pytest.fixture
def domain() -> Domain:
    return new_domain(archived=50)


@pytest.fixture
def members(domain: Domain) -> list[Client]:
    """An owner and two members of the room."""
    clients = [logged_in(domain, number) for number in (1, 2, 3)]
    assert create(clients[0], 2, 3).get("type") == "result"
    for client in clients:
        client.heard()
    return clients


def test_members_are_notified_of_a_new_room(domain: Domain) -> None:
    one, two = logged_in(domain, 1), logged_in(domain, 2)
    assert create(one, 2).get("from") == ROOM
    assert affiliations_received(two) == [{"user_1": "owner", "user_2": "member"}]
    assert stanza_error(create(two)) == "conflict"


def test_a_room_without_a_name_is_given_one(domain: Domain) -> None:
    one = logged_in(domain, 1)
    names = {create(one, to=SERVICE).get("from", "") for _ in range(2)}
    assert len(names) == 2
    assert all(name.endswith(f"@{SERVICE}") for name in names)


def test_a_message_reaches_all_members_and_is_stored_for_absent_ones(
    domain: Domain, members: list[Client]
) -> None:
    one, two, three = members
    three.session.lost()
    one.send(f"<message to='{ROOM}' type='groupchat' id='m'><body>hi</body></message>".encode())
    for client in (one, two):
        (message,) = client.stanzas()
        assert message.get("from") == f"{ROOM}/user_1@localhost"
        assert (message.get("id"), message.findtext(f"{C}body")) == ("m", "hi")
        assert message.find("{urn:xmpp:sid:0}stanza-id") is not None
    back = logged_in(domain, 3, there=False)
    back.send(b"<presence/>")
    (late,) = (it for it in back.stanzas() if it.tag == f"{C}message")
    assert late.find("{urn:xmpp:delay}delay") is not None
    assert late.get("from") == f"{ROOM}/user_1@localhost"


def test_a_room_is_invisible_to_strangers(domain: Domain, members: list[Client]) -> None:
    stranger = logged_in(domain, 4)
    stranger.send(f"<message to='{ROOM}' type='groupchat'><body>hi</body></message>".encode())
    assert stanza_error(stranger.stanzas()[0]) == "item-not-found"
    info = answer(stranger, "get", f"<query xmlns='{NS}#info'/>", ROOM)
    assert stanza_error(info) == "item-not-found"


def test_the_owner_changes_members_and_members_may_leave(
    domain: Domain, members: list[Client]
) -> None:
    one, two, three = members
    four = logged_in(domain, 4)
    assert stanza_error(affiliate(two, user_4="member")) == "not-allowed"
    assert affiliate(one, user_4="member", user_3="none").get("type") == "result"
    assert affiliations_received(four) == [
        {"user_1": "owner", "user_2": "member", "user_4": "member"}
    ]
    assert affiliations_received(three) == [{"user_3": "none"}]
    assert affiliations_received(two) == [{"user_4": "member", "user_3": "none"}]
    assert affiliate(two, user_2="none").get("type") == "result"
    assert affiliate(one, user_1="none").get("type") == "result"
    listed = answer(four, "get", f"<query xmlns='{NS}#affiliations'/>", ROOM)[0]
    assert [(it.get("affiliation"), it.text) for it in listed if it.get("affiliation")] == [
        ("owner", "user_4@localhost")
    ]
    affiliate(four, user_4="none")
    assert not domain.services[SERVICE].rooms  # type: ignore[attr-defined]


def test_a_room_can_be_handed_over_to_another_owner(members: list[Client]) -> None:
    owner, second, third = members
    assert affiliate(owner, user_2="owner").get("type") == "result"
    assert affiliations_received(third) == [{"user_2": "owner", "user_1": "member"}]
    assert affiliate(owner, user_3="none").get("type") == "error"
    second.heard()
    assert affiliate(second, user_3="none").get("type") == "result"


def test_the_configuration_is_changed_by_the_owner_and_read_by_members(
    members: list[Client],
) -> None:
    one, two, _ = members
    configure = f"<query xmlns='{NS}#configuration'><roomname>{{}}</roomname></query>"
    assert stanza_error(answer(two, "set", configure.format("x"), ROOM)) == "not-allowed"
    assert answer(one, "set", configure.format("New"), ROOM).get("type") == "result"
    (message,) = two.stanzas()
    changed = message.find(f"{{{NS}#configuration}}x")
    assert changed is not None
    assert changed.findtext(f"{{{NS}#configuration}}roomname") == "New"
    info = answer(two, "get", f"<query xmlns='{NS}#info'/>", ROOM)[0]
    version = changed.findtext(f"{{{NS}#configuration}}version")
    assert info.findtext(f"{{{NS}#info}}version") == version
    assert info.findtext(f".//{{{NS}#info}}roomname") == "New"


def test_a_room_is_destroyed_by_its_owner(domain: Domain, members: list[Client]) -> None:
    one, two, _ = members
    destroy = f"<query xmlns='{NS}#destroy'/>"
    assert stanza_error(answer(two, "set", destroy, ROOM)) == "not-allowed"
    assert answer(one, "set", destroy, ROOM).get("type") == "result"
    (gone,) = two.stanzas()
    assert gone.find(f"{{{NS}#destroy}}x") is not None
    assert not domain.services[SERVICE].rooms  # type: ignore[attr-defined]
    items = "<query xmlns='http://jabber.org/protocol/disco#items'/>"
    assert len(answer(two, "get", items, SERVICE)[0]) == 0


def test_disco_lists_only_ones_own_rooms(domain: Domain, members: list[Client]) -> None:
    items = "<query xmlns='http://jabber.org/protocol/disco#items'/>"
    (item,) = answer(members[1], "get", items, SERVICE)[0]
    assert (item.get("jid"), item.get("name")) == (ROOM, "Plans")
    assert not list(answer(logged_in(domain, 4), "get", items, SERVICE)[0])


def test_a_room_that_was_left_or_destroyed_is_no_longer_listed(
    domain: Domain, members: list[Client]
) -> None:
    other = f"other@{SERVICE}"
    create(members[0], 2, to=other)

    def listed(client: Client) -> list[str]:
        items = "<query xmlns='http://jabber.org/protocol/disco#items'/>"
        return [it.get("jid", "") for it in answer(client, "get", items, SERVICE)[0]]

    assert listed(members[1]) == [ROOM, other]
    affiliate(members[0], user_2="none")
    assert listed(members[1]) == [other]
    affiliate(members[0], user_2="member")
    assert listed(members[1]) == [other, ROOM]
    answer(members[0], "set", f"<query xmlns='{NS}#destroy'/>", other)
    assert [listed(one) for one in members] == [[ROOM]] * 3
    answer(members[0], "set", f"<query xmlns='{NS}#destroy'/>", ROOM)
    service = domain.services[SERVICE]
    assert isinstance(service, LightRooms)
    assert not service.rooms_of


def test_members_can_read_the_archive(domain: Domain, members: list[Client]) -> None:
    one, two, _ = members
    one.send(f"<message to='{ROOM}' type='groupchat'><body>hi</body></message>".encode())
    two.heard()
    two.send(f"<iq type='set' id='q' to='{ROOM}'><query xmlns='urn:xmpp:mam:2'/></iq>".encode())
    message, end = two.stanzas()
    assert message.findtext(f".//{C}body") == "hi"
    assert end[0].get("complete") == "true"
    refused = answer(logged_in(domain, 4), "set", "<query xmlns='urn:xmpp:mam:2'/>", ROOM)
    assert stanza_error(refused) == "item-not-found"


def test_rooms_and_members_are_limited() -> None:
    domain = new_domain(rooms=1, occupants=2)
    one = logged_in(domain, 1)
    assert stanza_error(create(one, 2, 3)) == "resource-constraint"
    assert create(one, 2).get("type") == "result"
    assert stanza_error(create(one, to=f"more@{SERVICE}")) == "resource-constraint"
    assert stanza_error(affiliate(one, user_3="member")) == "resource-constraint"
