"""Multi-user chat, tested through the bytes that clients send and receive."""

from __future__ import annotations

from xml.etree import ElementTree as ET

import pytest

from amoc.xmppd.routing import Domain
from tests.unit.xmppd.lab import Client, logged_in, new_domain, stanza_error

ROOM = "r@conference.localhost"
USER = "{http://jabber.org/protocol/muc#user}"
ADMIN = "http://jabber.org/protocol/muc#admin"
OWNER = "http://jabber.org/protocol/muc#owner"
C = "{jabber:client}"


def enter(client: Client, nick: str, content: str = "", room: str = ROOM) -> list[ET.Element]:
    """Enter a room and return every stanza that the client then receives."""
    x = f"<x xmlns='http://jabber.org/protocol/muc'>{content}</x>"
    client.send(f"<presence to='{room}/{nick}'>{x}</presence>".encode())
    return client.stanzas()


def codes(presence: ET.Element) -> set[str]:
    return {it.get("code", "") for it in presence.iterfind(f"{USER}x/{USER}status")}


def item(presence: ET.Element) -> ET.Element:
    found = presence.find(f"{USER}x/{USER}item")
    assert found is not None
    return found


def ask(client: Client, kind: str, payload: str, to: str = ROOM) -> ET.Element:
    """Return the answer to a request; anything received with it is discarded."""
    client.send(f"<iq type='{kind}' id='q' to='{to}'>{payload}</iq>".encode())
    stanzas = client.stanzas()
    return next(it for it in stanzas if it.tag == f"{C}iq" and it.get("id") == "q")


def configure(client: Client, **values: object) -> ET.Element:
    fields = "".join(
        f"<field var='muc#roomconfig_{name}'><value>{value}</value></field>"
        for name, value in values.items()
    )
    x = f"<x xmlns='jabber:x:data' type='submit'>{fields}</x>"
    return ask(client, "set", f"<query xmlns='{OWNER}'>{x}</query>")


def affiliate(client: Client, user: int, what: str) -> ET.Element:
    one = f"<item jid='user_{user}@localhost' affiliation='{what}'><reason>so</reason></item>"
    return ask(client, "set", f"<query xmlns='{ADMIN}'>{one}</query>")


def give_role(client: Client, nick: str, role: str) -> ET.Element:
    one = f"<item nick='{nick}' role='{role}'/>"
    return ask(client, "set", f"<query xmlns='{ADMIN}'>{one}</query>")


def say(client: Client, body: str, attrs: str = "") -> None:
    client.send(
        f"<message to='{ROOM}' type='groupchat'{attrs}><body>{body}</body></message>".encode()
    )


def bodies(stanzas: list[ET.Element]) -> list[str | None]:
    return [it.findtext(f"{C}body") for it in stanzas if it.find(f"{C}body") is not None]


@pytest.fixture
def domain() -> Domain:
    return new_domain(archived=50)


@pytest.fixture
def owner(domain: Domain) -> Client:
    client = logged_in(domain, 1)
    enter(client, "owner")
    return client


def test_the_first_occupant_creates_and_owns_the_room(domain: Domain) -> None:
    client = logged_in(domain, 1)
    presence, subject = enter(client, "me")
    assert presence.get("from") == f"{ROOM}/me"
    assert presence.get("to") == client.session.jid
    assert {"110", "201"} <= codes(presence)
    assert (item(presence).get("affiliation"), item(presence).get("role")) == ("owner", "moderator")
    assert subject.find(f"{C}subject") is not None


def test_a_newcomer_gets_occupants_then_itself_then_history_then_the_subject(
    domain: Domain, owner: Client
) -> None:
    say(owner, "one")
    owner.send(f"<message to='{ROOM}' type='groupchat'><subject>tea</subject></message>".encode())
    say(owner, "two")
    owner.heard()
    newcomer = logged_in(domain, 2)
    other, own, first, second, subject = enter(newcomer, "new")
    assert other.get("from") == f"{ROOM}/owner"
    assert item(other).get("jid") is None
    assert own.get("from") == f"{ROOM}/new"
    assert "110" in codes(own)
    assert bodies([first, second]) == ["one", "two"]
    for message in (first, second):
        delay = message.find("{urn:xmpp:delay}delay")
        assert delay is not None
        assert delay.get("from") == ROOM
        assert delay.get("stamp", "").endswith("Z")
    assert subject.findtext(f"{C}subject") == "tea"
    assert subject.find("{urn:xmpp:delay}delay") is None
    (seen,) = owner.stanzas()
    assert seen.get("from") == f"{ROOM}/new"
    assert item(seen).get("jid") == newcomer.session.jid


@pytest.mark.parametrize(
    ("asked", "expected"),
    [
        ("maxstanzas='0'", []),
        ("maxstanzas='2'", ["two", "three"]),
        ("maxchars='0'", []),
        ("seconds='3600'", ["one", "two", "three"]),
        ("since='2100-01-01T00:00:00Z'", []),
        ("since='2000-01-01T00:00:00Z'", ["one", "two", "three"]),
    ],
)
def test_a_newcomer_gets_the_history_it_requested(
    domain: Domain, owner: Client, asked: str, expected: list[str]
) -> None:
    for body in ("one", "two", "three"):
        say(owner, body)
    assert bodies(enter(logged_in(domain, 2), "new", f"<history {asked}/>")) == expected


def test_a_message_reaches_all_occupants_with_its_id_and_the_senders_nick(
    domain: Domain, owner: Client
) -> None:
    others = [logged_in(domain, number) for number in (2, 3)]
    for client in others:
        enter(client, f"nick{client.session.user.local}")
    for client in (owner, *others):
        client.heard()
    say(owner, "hi &amp; <![CDATA[<b>]]>", " id='m1' xml:lang='de'")
    for client in (owner, *others):
        (message,) = client.stanzas()
        assert message.get("from") == f"{ROOM}/owner"
        assert message.get("to") == client.session.jid
        assert (message.get("id"), message.get("type")) == ("m1", "groupchat")
        assert message.get("{http://www.w3.org/XML/1998/namespace}lang") == "de"
        assert message.findtext(f"{C}body") == "hi & <b>"
        mark = message.find("{urn:xmpp:sid:0}stanza-id")
        assert mark is not None
        assert mark.get("by") == ROOM


def test_a_message_with_unusual_namespace_prefixes_reaches_the_room(
    domain: Domain, owner: Client
) -> None:
    spaces = "xmlns:x='jabber:client' xmlns='urn:y'"
    head = f"<x:message {spaces} to='{ROOM}' type='groupchat' a='>'>"
    owner.send(f"{head}<x:body>b</x:body><y/></x:message >".encode())
    (message,) = owner.stanzas()
    assert message.get("from") == f"{ROOM}/owner"
    assert message.findtext(f"{C}body") == "b"
    assert message.find("{urn:y}y") is not None


def test_only_occupants_may_speak(domain: Domain, owner: Client) -> None:
    stranger = logged_in(domain, 2)
    say(stranger, "x")
    (error,) = stranger.stanzas()
    assert stanza_error(error) == "not-acceptable"
    assert error.get("from") == ROOM
    assert owner.heard() == b""


def test_a_taken_nick_is_a_conflict_and_a_nick_change_is_announced(
    domain: Domain, owner: Client
) -> None:
    other = logged_in(domain, 2)
    (error,) = enter(other, "owner")
    assert stanza_error(error) == "conflict"
    enter(other, "two")
    owner.heard()
    other.send(f"<presence to='{ROOM}/owner'/>".encode())
    assert stanza_error(other.stanzas()[0]) == "conflict"
    other.send(f"<presence to='{ROOM}/three'/>".encode())
    gone, come = owner.stanzas()
    assert (gone.get("from"), gone.get("type")) == (f"{ROOM}/two", "unavailable")
    assert "303" in codes(gone)
    assert item(gone).get("nick") == "three"
    assert come.get("from") == f"{ROOM}/three"
    assert "110" in codes(other.stanzas()[1])


@pytest.mark.parametrize("how", ["leaves", "is lost", "logs out"])
def test_a_departed_occupant_is_announced_and_its_nick_is_free(
    domain: Domain, owner: Client, how: str
) -> None:
    other = logged_in(domain, 2)
    enter(other, "two")
    owner.heard()
    if how == "leaves":
        other.send(
            f"<presence to='{ROOM}/two' type='unavailable'><status>bye</status></presence>".encode()
        )
        (own,) = other.stanzas()
        assert "110" in codes(own)
    elif how == "is lost":
        other.session.lost()
    else:
        other.send(b"</stream:stream>")
    (gone,) = owner.stanzas()
    assert (gone.get("from"), gone.get("type")) == (f"{ROOM}/two", "unavailable")
    assert item(gone).get("role") == "none"
    assert len(enter(logged_in(domain, 3), "two")) == 3


def test_an_empty_room_is_destroyed_unless_it_is_persistent(domain: Domain, owner: Client) -> None:
    conference = domain.services["conference.localhost"]
    say(owner, "x")
    assert configure(owner, persistentroom=1).get("type") == "result"
    owner.send(f"<presence to='{ROOM}/owner' type='unavailable'/>".encode())
    assert list(conference.rooms) == [ROOM]
    owner.heard()
    assert "201" not in codes(enter(owner, "owner")[0])
    configure(owner, persistentroom=0)
    owner.session.lost()
    assert not conference.rooms
    assert len(domain.archives) == 0


def test_a_protected_room_requires_its_password(domain: Domain, owner: Client) -> None:
    assert (
        stanza_error(configure(owner, passwordprotectedroom=1, roomsecret="")) == "not-acceptable"
    )
    configure(owner, passwordprotectedroom=1, roomsecret="sesame")
    other = logged_in(domain, 2)
    assert stanza_error(enter(other, "two")[0]) == "not-authorized"
    assert stanza_error(enter(other, "two", "<password>no</password>")[0]) == "not-authorized"
    assert "110" in codes(enter(other, "two", "<password>sesame</password>")[1])


def test_a_members_only_room_admits_only_members(domain: Domain, owner: Client) -> None:
    other = logged_in(domain, 2)
    enter(other, "two")
    other.heard()
    configure(owner, membersonly=1)
    (gone,) = other.stanzas()
    assert {"110", "322"} <= codes(gone)
    assert stanza_error(enter(other, "two")[0]) == "registration-required"
    assert affiliate(owner, 2, "member").get("type") == "result"
    assert item(enter(other, "two")[1]).get("affiliation") == "member"
    other.heard()
    affiliate(owner, 2, "none")
    assert "321" in codes(other.stanzas()[0])


def test_a_full_room_admits_only_admins(domain: Domain, owner: Client) -> None:
    configure(owner, maxusers=1)
    other = logged_in(domain, 2)
    assert stanza_error(enter(other, "two")[0]) == "service-unavailable"
    affiliate(owner, 2, "admin")
    assert "110" in codes(enter(other, "two")[1])


def test_a_visitor_may_speak_once_it_has_voice(domain: Domain, owner: Client) -> None:
    configure(owner, moderatedroom=1)
    other = logged_in(domain, 2)
    assert item(enter(other, "two")[1]).get("role") == "visitor"
    say(other, "x")
    assert stanza_error(other.stanzas()[0]) == "forbidden"
    give_role(owner, "two", "participant")
    assert item(other.stanzas()[0]).get("role") == "participant"
    say(other, "x")
    assert bodies(other.stanzas()) == ["x"]


def test_kicks_and_bans_are_announced_and_the_banned_cannot_return(
    domain: Domain, owner: Client
) -> None:
    other = logged_in(domain, 2)
    enter(other, "two")
    owner.heard()
    assert stanza_error(give_role(other, "owner", "none")) == "forbidden"
    assert give_role(owner, "two", "none").get("type") == "result"
    (kicked,) = other.stanzas()
    assert {"110", "307"} <= codes(kicked)
    enter(other, "two")
    affiliate(owner, 2, "outcast")
    banned = other.stanzas()[-1]
    assert {"110", "301"} <= codes(banned)
    assert item(banned).findtext(f"{USER}reason") == "so"
    assert stanza_error(enter(other, "two")[0]) == "forbidden"
    listed = ask(owner, "get", f"<query xmlns='{ADMIN}'><item affiliation='outcast'/></query>")
    assert [it.get("jid") for it in listed[0]] == ["user_2@localhost"]


def test_affiliation_ranks_are_enforced(domain: Domain, owner: Client) -> None:
    two, three = logged_in(domain, 2), logged_in(domain, 3)
    enter(two, "two")
    enter(three, "three")
    assert stanza_error(affiliate(two, 3, "outcast")) == "forbidden"
    affiliate(owner, 2, "admin")
    affiliate(owner, 3, "admin")
    assert stanza_error(affiliate(two, 3, "outcast")) == "not-allowed"
    assert stanza_error(affiliate(two, 3, "owner")) == "not-allowed"
    assert stanza_error(give_role(two, "owner", "none")) == "not-allowed"
    assert stanza_error(affiliate(owner, 1, "member")) == "conflict"
    affiliate(owner, 2, "owner")
    assert affiliate(owner, 1, "member").get("type") == "result"


def test_only_the_owner_configures_and_destroys_a_room(domain: Domain, owner: Client) -> None:
    other = logged_in(domain, 2)
    enter(other, "two")
    query = f"<query xmlns='{OWNER}'/>"
    assert stanza_error(ask(other, "get", query)) == "forbidden"
    assert stanza_error(configure(other, roomname="x")) == "forbidden"
    form = ask(owner, "get", query)[0][0]
    assert form.get("type") == "form"
    assert "muc#roomconfig_membersonly" in {field.get("var") for field in form}
    assert stanza_error(configure(owner, membersonly="perhaps")) == "not-acceptable"
    destroy = (
        f"<query xmlns='{OWNER}'><destroy jid='{ROOM}'><reason>over</reason></destroy></query>"
    )
    assert ask(owner, "set", destroy).get("type") == "result"
    (gone,) = other.stanzas()
    reason = gone.find(f"{USER}x/{USER}destroy/{USER}reason")
    assert reason is not None
    assert reason.text == "over"
    assert stanza_error(ask(owner, "get", query)) == "item-not-found"


def test_occupants_may_change_the_subject_only_if_allowed(domain: Domain, owner: Client) -> None:
    other = logged_in(domain, 2)
    enter(other, "two")
    change = f"<message to='{ROOM}' type='groupchat'><subject>tea</subject></message>".encode()
    other.send(change)
    assert stanza_error(other.stanzas()[0]) == "forbidden"
    configure(owner, changesubject=1)
    other.heard()
    other.send(change)
    (told,) = other.stanzas()
    assert told.get("from") == f"{ROOM}/two"
    assert told.findtext(f"{C}subject") == "tea"


def test_private_messages_and_requests_go_to_one_occupant(domain: Domain, owner: Client) -> None:
    other = logged_in(domain, 2)
    enter(other, "two")
    owner.heard()
    other.send(
        f"<message to='{ROOM}/owner' type='chat' id='p'><body>psst</body></message>".encode()
    )
    (message,) = owner.stanzas()
    assert (message.get("from"), message.get("id")) == (f"{ROOM}/two", "p")
    assert message.find(f"{USER}x") is not None
    other.send(f"<message to='{ROOM}/nobody' type='chat'><body>x</body></message>".encode())
    assert stanza_error(other.stanzas()[0]) == "item-not-found"
    other.send(
        f"<iq to='{ROOM}/owner' type='get' id='v'><query xmlns='jabber:iq:version'/></iq>".encode()
    )
    (request,) = owner.stanzas()
    assert request.get("from") == f"{ROOM}/two"
    owner.send(f"<iq to='{ROOM}/two' type='result' id='v'/>".encode())
    (answer,) = other.stanzas()
    assert (answer.get("from"), answer.get("type")) == (f"{ROOM}/owner", "result")


def test_a_self_ping_tells_whether_the_client_is_still_an_occupant(
    domain: Domain, owner: Client
) -> None:
    ping = "<ping xmlns='urn:xmpp:ping'/>"
    assert ask(owner, "get", ping, f"{ROOM}/owner").get("type") == "result"
    assert stanza_error(ask(logged_in(domain, 2), "get", ping, f"{ROOM}/x")) == "not-acceptable"


def test_an_invitation_reaches_the_invitee_and_makes_it_a_member(
    domain: Domain, owner: Client
) -> None:
    configure(owner, membersonly=1, passwordprotectedroom=1, roomsecret="sesame")
    other = logged_in(domain, 2)
    x = "<invite to='user_2@localhost'><reason>come</reason></invite>"
    owner.send(
        f"<message to='{ROOM}'><x xmlns='http://jabber.org/protocol/muc#user'>{x}</x></message>".encode()
    )
    (message,) = other.stanzas()
    invite = message.find(f"{USER}x/{USER}invite")
    assert message.get("from") == ROOM
    assert invite is not None
    assert invite.get("from") == "user_1@localhost"
    assert invite.findtext(f"{USER}reason") == "come"
    assert message.findtext(f"{USER}x/{USER}password") == "sesame"
    assert "110" in codes(enter(other, "two", "<password>sesame</password>")[1])


def test_disco_reports_features_and_rooms(domain: Domain, owner: Client) -> None:
    info = "<query xmlns='http://jabber.org/protocol/disco#info'/>"
    items = "<query xmlns='http://jabber.org/protocol/disco#items'/>"
    features = {it.get("var") for it in ask(owner, "get", info, "conference.localhost")[0]}
    assert {"http://jabber.org/protocol/muc", "urn:xmpp:mam:2"} <= features
    assert [it.get("jid") for it in ask(owner, "get", items, "conference.localhost")[0]][:1] == [
        ROOM
    ]
    configure(owner, publicroom=0, moderatedroom=1)
    assert ROOM not in {it.get("jid") for it in ask(owner, "get", items, "conference.localhost")[0]}
    features = {it.get("var") for it in ask(owner, "get", info)[0]}
    assert {"muc_hidden", "muc_moderated", "muc_open", "muc_semianonymous"} <= features
    services = {it.get("jid") for it in ask(owner, "get", items, "localhost")[0]}
    assert services == {"conference.localhost", "muclight.localhost", "pubsub.localhost"}


def test_a_room_archive_is_read_page_by_page(domain: Domain, owner: Client) -> None:
    for number in range(5):
        say(owner, str(number))
    owner.heard()
    rsm = "<set xmlns='http://jabber.org/protocol/rsm'><max>2</max><before/></set>"
    query = f"<query xmlns='urn:xmpp:mam:2' queryid='z'>{rsm}</query>"
    owner.send(f"<iq type='set' id='q' to='{ROOM}'>{query}</iq>".encode())
    *messages, answer = owner.stanzas()
    found = [it.find(".//{jabber:client}message") for it in messages]
    assert bodies([it for it in found if it is not None]) == ["3", "4"]
    assert all(it.get("from") == f"{ROOM}/owner" for it in found if it is not None)
    assert answer[0].get("complete") is None
    stranger = logged_in(domain, 2)
    affiliate(owner, 2, "outcast")
    refused = ask(stranger, "set", "<query xmlns='urn:xmpp:mam:2'/>")
    assert stanza_error(refused) == "forbidden"


def test_rooms_and_occupants_are_limited() -> None:
    domain = new_domain(rooms=1, occupants=5)
    one, two = logged_in(domain, 1), logged_in(domain, 2)
    enter(one, "one")
    full = enter(two, "two", room="s@conference.localhost")[0]
    assert stanza_error(full) == "resource-constraint"
    configure(one, maxusers=1000)
    conference = domain.services["conference.localhost"]
    assert conference.rooms[ROOM].config.max_occupants == 5  # type: ignore[attr-defined]


def test_the_number_of_rooms_per_client_is_limited() -> None:
    one = logged_in(new_domain(directed=1), 1)
    enter(one, "one")
    other = enter(one, "one", room="s@conference.localhost")[0]
    assert stanza_error(other) == "resource-constraint"
