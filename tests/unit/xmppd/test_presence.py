from __future__ import annotations

import pytest

from amoc.xmppd.routing import Domain
from tests.unit.xmppd.lab import Client, in_stream, logged_in, new_domain, stanza_error


def seen(client: Client) -> list[tuple[str | None, str | None]]:
    """Return the sender and type of each presence that the client received."""
    return [
        (it.get("from"), it.get("type")) for it in client.stanzas() if it.tag.endswith("presence")
    ]


def with_roster(domain: Domain, number: int) -> Client:
    client = logged_in(domain, number)
    client.say(b"<iq type='get' id='r'><query xmlns='jabber:iq:roster'/></iq>")
    return client


def subscription(kind: str, to: int) -> bytes:
    return f"<presence type='{kind}' to='user_{to}@localhost'/>".encode()


def befriend(domain: Domain) -> tuple[Client, Client]:
    """Return users 1 and 2, subscribed to each other, with nothing unread."""
    one, two = with_roster(domain, 1), with_roster(domain, 2)
    one.say(subscription("subscribe", 2))
    two.say(subscription("subscribed", 1), subscription("subscribe", 1))
    one.say(subscription("subscribed", 2))
    one.heard()
    two.heard()
    return one, two


def state(domain: Domain, user: int, contact: int) -> str:
    contacts = domain.users[f"user_{user}@localhost"].contacts or {}
    return contacts[f"user_{contact}@localhost"].subscription


def test_clients_of_one_user_see_each_other_and_themselves() -> None:
    domain = new_domain()
    a = logged_in(domain, 1, "a", there=False)
    a.send(b"<presence><show>away</show></presence>")
    (echo,) = a.stanzas()
    assert echo.attrib == {"from": "user_1@localhost/a", "to": "user_1@localhost"}
    assert echo.findtext("{jabber:client}show") == "away"
    b = logged_in(domain, 1, "b", there=False)
    b.send(b"<presence/>")
    assert seen(b) == [("user_1@localhost/b", None), ("user_1@localhost/a", None)]
    assert seen(a) == [("user_1@localhost/b", None)]
    b.say(b"<presence type='unavailable'><status>bye</status></presence>")
    (gone,) = a.stanzas()
    assert (gone.get("type"), gone.findtext("{jabber:client}status")) == ("unavailable", "bye")


def test_a_subscription_is_requested_granted_and_followed_by_presence() -> None:
    domain = new_domain()
    one, two = with_roster(domain, 1), with_roster(domain, 2)
    one.heard()
    two.heard()
    request = b"<presence type='subscribe' to='User_2@localhost/r'><status>me</status></presence>"
    (push,) = in_stream(one.say(request))
    assert (push[0][0].get("subscription"), push[0][0].get("ask")) == ("none", "subscribe")
    (asked,) = two.stanzas()
    assert asked.attrib == {
        "type": "subscribe", "from": "user_1@localhost", "to": "user_2@localhost",
    }  # fmt: skip
    assert asked.findtext("{jabber:client}status") == "me"
    (push,) = in_stream(two.say(subscription("subscribed", 1)))
    assert push[0][0].attrib == {"jid": "user_1@localhost", "subscription": "from"}
    granted, push, presence = one.stanzas()
    assert (granted.get("type"), granted.get("from")) == ("subscribed", "user_2@localhost")
    assert push[0][0].attrib == {"jid": "user_2@localhost", "subscription": "to"}
    assert (presence.get("from"), presence.get("type")) == ("user_2@localhost/r", None)
    two.say(b"<presence><show>dnd</show></presence>")
    assert seen(one) == [("user_2@localhost/r", None)]
    assert (state(domain, 1, 2), state(domain, 2, 1)) == ("to", "from")


def test_friends_see_each_other_come_and_go() -> None:
    domain = new_domain()
    one, two = befriend(domain)
    two.session.lost()
    assert seen(one) == [("user_2@localhost/r", "unavailable")]
    again = logged_in(domain, 2, "new", there=False)
    assert seen(one) == []
    again.send(b"<presence/>")
    assert seen(one) == [("user_2@localhost/new", None)]
    assert seen(again) == [("user_2@localhost/new", None), ("user_1@localhost/r", None)]


def test_a_subscription_request_is_stored_for_an_absent_user() -> None:
    domain = new_domain()
    one = with_roster(domain, 1)
    one.say(subscription("subscribe", 2), subscription("subscribe", 2))
    two = logged_in(domain, 2, there=False)
    two.send(b"<presence/>")
    assert seen(two) == [("user_2@localhost/r", None), ("user_1@localhost", "subscribe")]
    two.send(b"<presence/>")
    assert seen(two) == [("user_2@localhost/r", None)], "only with the first presence"
    two.say(subscription("unsubscribed", 1))
    assert state(domain, 1, 2) == "none"
    assert ("user_2@localhost", "unsubscribed") in seen(one)


@pytest.mark.parametrize(
    ("kind", "states", "two_sees"),
    [
        ("unsubscribe", ("from", "to"), [("user_1@localhost", "unsubscribe")]),
        ("unsubscribed", ("to", "from"), [
            ("user_1@localhost", "unsubscribed"), ("user_1@localhost/r", "unavailable"),
        ]),
    ],
)  # fmt: skip
def test_either_side_can_end_a_subscription(
    kind: str, states: tuple[str, str], two_sees: list[tuple[str, str]]
) -> None:
    domain = new_domain()
    one, two = befriend(domain)
    one.say(subscription(kind, 2))
    assert (state(domain, 1, 2), state(domain, 2, 1)) == states
    assert seen(two) == two_sees


def test_unsubscribing_shows_the_contact_as_unavailable() -> None:
    domain = new_domain()
    one, two = befriend(domain)
    said = in_stream(one.say(subscription("unsubscribe", 2)))
    assert ("user_2@localhost/r", "unavailable") in [
        (it.get("from"), it.get("type")) for it in said
    ]
    two.say(b"<presence/>")
    assert seen(one) == []


def test_removing_a_contact_ends_both_subscriptions() -> None:
    domain = new_domain()
    one, two = befriend(domain)
    item = "<item jid='user_2@localhost' subscription='remove'/>"
    one.say(f"<iq type='set' id='1'><query xmlns='jabber:iq:roster'>{item}</query></iq>".encode())
    assert "user_2@localhost" not in (domain.users["user_1@localhost"].contacts or {})
    assert state(domain, 2, 1) == "none"
    kinds = [kind for _, kind in seen(two)]
    assert kinds == ["unsubscribe", "unsubscribed", "unavailable"]


def test_a_request_to_an_unknown_user_is_refused_as_if_by_a_contact() -> None:
    domain = new_domain()
    one = with_roster(domain, 1)
    one.heard()
    said = in_stream(one.say(b"<presence type='subscribe' to='nobody@localhost'/>"))
    assert ("nobody@localhost", "unsubscribed") in [(it.get("from"), it.get("type")) for it in said]
    assert "nobody@localhost" not in domain.users


def test_a_request_granted_before_is_granted_again_at_once() -> None:
    domain = new_domain()
    one, two = befriend(domain)
    # The asking side forgets, as after a restored backup; the other still remembers.
    user = domain.users["user_1@localhost"]
    user.contacts.clear()
    said = in_stream(one.say(subscription("subscribe", 2)))
    assert two.heard() == b""
    assert [it.get("type") for it in said if it.tag.endswith("presence")] == ["subscribed", None]
    assert state(domain, 1, 2) == "to"


def test_an_unsolicited_approval_is_ignored() -> None:
    domain = new_domain()
    one, two = with_roster(domain, 1), with_roster(domain, 2)
    two.heard()
    one.say(subscription("subscribed", 2))
    assert two.heard() == b""
    assert not domain.users["user_1@localhost"].contacts


def test_directed_presence_is_delivered_and_withdrawn_at_the_end() -> None:
    domain = new_domain()
    one, two = logged_in(domain, 1), logged_in(domain, 2)
    one.say(b"<presence to='user_2@localhost/r'><show>chat</show></presence>")
    assert seen(two) == [("user_1@localhost/r", None)]
    one.session.lost()
    assert seen(two) == [("user_1@localhost/r", "unavailable")]


def test_directed_presence_is_not_withdrawn_twice() -> None:
    domain = new_domain()
    one, two = logged_in(domain, 1), logged_in(domain, 2)
    one.say(
        b"<presence to='user_2@localhost'/>",
        b"<presence to='user_2@localhost' type='unavailable'/>",
    )
    assert seen(two) == [("user_1@localhost/r", None), ("user_1@localhost/r", "unavailable")]
    one.session.lost()
    assert seen(two) == []


def test_a_client_that_never_sent_presence_leaves_silently() -> None:
    domain = new_domain()
    one, two = befriend(domain)
    silent = logged_in(domain, 1, "silent", there=False)
    silent.session.lost()
    assert seen(two) == []
    assert seen(one) == []


def test_a_probe_shows_a_friend_and_refuses_a_stranger() -> None:
    domain = new_domain()
    one, _ = befriend(domain)
    assert _kinds(one.say(b"<presence type='probe' to='user_2@localhost'/>")) == [None]
    logged_in(domain, 3)
    assert _kinds(one.say(b"<presence type='probe' to='user_3@localhost'/>")) == ["unsubscribed"]


def _kinds(said: bytes) -> list[str | None]:
    return [it.get("type") for it in in_stream(said)]


@pytest.mark.parametrize(
    ("stanza", "condition"),
    [
        ("<presence type='subscribe'/>", "bad-request"),
        ("<presence type='unheard-of'/>", "bad-request"),
        ("<presence type='unheard-of' to='user_2@localhost'/>", "bad-request"),
        ("<presence type='subscribe' to='localhost'/>", "service-unavailable"),
        ("<presence type='subscribe' to='a@example.org'/>", "remote-server-not-found"),
        ("<presence to='a b@localhost'/>", "jid-malformed"),
        ("<presence><priority>200</priority></presence>", "bad-request"),
        ("<presence><priority>high</priority></presence>", "bad-request"),
    ],
)
def test_invalid_presence_is_answered_with_an_error(stanza: str, condition: str) -> None:
    client = logged_in(new_domain(), 1)
    (error,) = in_stream(client.say(stanza.encode()))
    assert error.tag == "{jabber:client}presence"
    assert stanza_error(error) == condition


def test_a_full_roster_refuses_new_requests_and_ignores_incoming_ones() -> None:
    domain = new_domain(contacts=1)
    one, two = logged_in(domain, 1), logged_in(domain, 2)
    one.say(subscription("subscribe", 3))
    refused = in_stream(one.say(subscription("subscribe", 4)))
    assert [stanza_error(it) for it in refused] == ["resource-constraint"]
    logged_in(domain, 5).say(subscription("subscribe", 2))
    logged_in(domain, 6).say(subscription("subscribe", 2))
    assert [kind for _, kind in seen(two)] == ["subscribe"]


def test_a_priority_in_another_namespace_is_ignored() -> None:
    domain = new_domain()
    client = logged_in(domain, 1, there=False)
    client.send(b"<presence><priority xmlns='urn:x'>200</priority></presence>")
    assert seen(client) == [("user_1@localhost/r", None)]
    assert client.session.priority == 0
