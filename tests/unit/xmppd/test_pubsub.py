"""Publish-subscribe nodes at the service and at accounts, tested through the bytes exchanged."""

from __future__ import annotations

import base64
import hashlib
from xml.etree import ElementTree as ET

import pytest

from amoc.xmppd.routing import Domain
from tests.unit.xmppd.lab import Client, logged_in, new_domain, stanza_error
from tests.unit.xmppd.test_account_services import answer

NS = "http://jabber.org/protocol/pubsub"
P = f"{{{NS}}}"
E = f"{{{NS}#event}}"
C = "{jabber:client}"
HOST = "pubsub.localhost"


def pubsub(
    client: Client, kind: str, content: str, to: str | None = HOST, space: str = NS
) -> ET.Element:
    return answer(client, kind, f"<pubsub xmlns='{space}'>{content}</pubsub>", to)


def form(**values: object) -> str:
    fields = "".join(
        f"<field var='pubsub#{name}'><value>{value}</value></field>"
        for name, value in values.items()
    )
    return f"<x xmlns='jabber:x:data' type='submit'>{fields}</x>"


def create(client: Client, name: str = "news", **config: object) -> ET.Element:
    configure = f"<configure>{form(**config)}</configure>" if config else ""
    return pubsub(client, "set", f"<create node='{name}'/>{configure}")


def publish(
    client: Client, text: str, item: str = "", to: str | None = HOST, node: str = "news",
    options: str = "",
) -> ET.Element:  # fmt: skip
    id_ = f" id='{item}'" if item else ""
    entry = f"<item{id_}><e xmlns='urn:e'>{text}</e></item>"
    return pubsub(client, "set", f"<publish node='{node}'>{entry}</publish>{options}", to)


def subscribe(client: Client, jid: str = "", node: str = "news", to: str = HOST) -> ET.Element:
    me = jid or client.session.jid
    return pubsub(client, "set", f"<subscribe node='{node}' jid='{me}'/>", to)


def items(client: Client, more: str = "", to: str | None = HOST, node: str = "news") -> list[str]:
    found = pubsub(client, "get", f"<items node='{node}'{more}/>", to)
    return [it[0].text or "" for it in found.iterfind(f"{P}pubsub/{P}items/{P}item")]


def events(client: Client) -> list[ET.Element]:
    return [it for message in client.stanzas() for it in message.iterfind(f"{E}event/*")]


def texts(client: Client) -> list[str]:
    return [it[0][0].text or "" for it in events(client)]


@pytest.fixture
def domain() -> Domain:
    return new_domain()


def test_subscribers_receive_published_items(domain: Domain) -> None:
    one, two = logged_in(domain, 1), logged_in(domain, 2)
    assert create(one).get("type") == "result"
    assert stanza_error(create(two)) == "conflict"
    granted = subscribe(two).find(f"{P}pubsub/{P}subscription")
    assert granted is not None
    assert granted.get("subscription") == "subscribed"
    published = publish(one, "a").find(f"{P}pubsub/{P}publish/{P}item")
    assert published is not None
    (message,) = two.stanzas()
    assert (message.get("from"), message.get("to")) == (HOST, two.session.jid)
    item = message.find(f"{E}event/{E}items/{E}item")
    assert item is not None
    assert item.get("id") == published.get("id")
    assert item.findtext("{urn:e}e") == "a"
    pubsub(two, "set", f"<unsubscribe node='news' jid='{two.session.jid}'/>")
    publish(one, "b")
    assert texts(two) == []
    again = pubsub(two, "set", f"<unsubscribe node='news' jid='{two.session.jid}'/>")
    assert stanza_error(again) == "unexpected-request"


def test_items_are_listed_oldest_first_and_the_oldest_are_dropped(domain: Domain) -> None:
    one = logged_in(domain, 1)
    create(one, max_items=3)
    for text in "abcd":
        publish(one, text, f"i{text}")
    assert items(one) == ["b", "c", "d"]
    assert items(one, " max_items='2'") == ["c", "d"]
    publish(one, "B", "ib")
    assert items(one) == ["c", "d", "B"]
    before = domain.budget.used
    pubsub(one, "set", "<retract node='news'><item id='ic'/></retract>")
    assert items(one) == ["d", "B"]
    assert domain.budget.used < before
    gone = pubsub(one, "set", "<retract node='news'><item id='ic'/></retract>")
    assert stanza_error(gone) == "item-not-found"


def test_a_new_subscriber_gets_the_last_item(domain: Domain) -> None:
    one, two = logged_in(domain, 1), logged_in(domain, 2)
    create(one)
    for text in "ab":
        publish(one, text)
    two.send(
        f"<iq type='set' id='q' to='{HOST}'><pubsub xmlns='{NS}'>"
        f"<subscribe node='news' jid='user_2@localhost'/></pubsub></iq>".encode()
    )
    message = next(it for it in two.stanzas() if it.tag == f"{C}message")
    assert message.findtext(".//{urn:e}e") == "b"
    assert message.find("{urn:xmpp:delay}delay") is not None


def test_affiliations_control_publishing_subscribing_and_reading(domain: Domain) -> None:
    one, two = logged_in(domain, 1), logged_in(domain, 2)
    create(one, access_model="whitelist")
    assert stanza_error(publish(two, "x")) == "forbidden"
    assert stanza_error(subscribe(two)) == "not-allowed"
    read = pubsub(two, "get", "<items node='news'/>")
    assert stanza_error(read) == "not-allowed"
    owner = f"{NS}#owner"
    one_change = "<affiliation jid='user_2@localhost' affiliation='{}'/>"
    change = f"<affiliations node='news'>{one_change}</affiliations>"
    assert stanza_error(pubsub(two, "set", change.format("owner"), space=owner)) == "forbidden"
    pubsub(one, "set", change.format("publisher"), space=owner)
    assert publish(two, "x").get("type") == "result"
    assert subscribe(two).get("type") == "result"
    assert stanza_error(subscribe(two, "user_1@localhost")) == "bad-request"
    pubsub(one, "set", change.format("outcast"), space=owner)
    assert stanza_error(publish(two, "x")) == "forbidden"
    listed = pubsub(one, "get", "<affiliations node='news'/>", space=owner)
    assert {(it.get("jid"), it.get("affiliation")) for it in listed[0][0]} == {
        ("user_1@localhost", "owner"),
        ("user_2@localhost", "outcast"),
    }


def test_the_owner_configures_purges_and_deletes_a_node(domain: Domain) -> None:
    one, two = logged_in(domain, 1), logged_in(domain, 2)
    owner = f"{NS}#owner"
    create(one)
    subscribe(two)
    shown = pubsub(one, "get", "<configure node='news'/>", space=owner)
    fields = {it.get("var") for it in shown[0][0][0]}
    assert {"pubsub#access_model", "pubsub#max_items"} <= fields
    configure = f"<configure node='news'>{form(deliver_payloads=0, max_items=1)}</configure>"
    assert stanza_error(pubsub(two, "set", configure, space=owner)) == "forbidden"
    assert pubsub(one, "set", configure, space=owner).get("type") == "result"
    bad = f"<configure node='news'>{form(access_model='authorize')}</configure>"
    assert stanza_error(pubsub(one, "set", bad, space=owner)) == "not-acceptable"
    for text in "ab":
        publish(one, text)
    assert [len(it[0]) for it in events(two)] == [0, 0]
    assert items(one) == ["b"]
    pubsub(one, "set", "<purge node='news'/>", space=owner)
    assert (items(one), domain.budget.used) == ([], 0)
    pubsub(one, "set", "<delete node='news'/>", space=owner)
    assert [it.tag for it in events(two)] == [f"{E}purge", f"{E}delete"]
    assert stanza_error(publish(one, "x")) == "item-not-found"


def test_unsupported_requests_are_refused_and_disco_lists_the_supported_ones(
    domain: Domain,
) -> None:
    one = logged_in(domain, 1)
    create(one, title="News")
    options = pubsub(one, "get", f"<options node='news' jid='{one.session.jid}'/>")
    assert stanza_error(options) == "feature-not-implemented"
    info = "<query xmlns='http://jabber.org/protocol/disco#info'{}/>"
    listed = "<query xmlns='http://jabber.org/protocol/disco#items'{}/>"
    found = answer(one, "get", info.format(""), HOST)[0]
    assert (found[0].get("category"), found[0].get("type")) == ("pubsub", "service")
    assert f"{NS}#subscribe" in {it.get("var") for it in found}
    node = answer(one, "get", info.format(" node='news'"), HOST)[0]
    assert (node[0].get("type"), node[0].get("name")) == ("leaf", "News")
    assert [it.get("node") for it in answer(one, "get", listed.format(""), HOST)[0]] == ["news"]
    publish(one, "x", "i1")
    of_node = answer(one, "get", listed.format(" node='news'"), HOST)[0]
    assert [it.get("name") for it in of_node] == ["i1"]
    assert stanza_error(answer(one, "get", info.format(" node='x'"), HOST)) == "item-not-found"


def test_nodes_items_and_subscribers_are_limited() -> None:
    domain = new_domain(rooms=1, items=2, subscribers=1, nodes=1, kept_bytes=1000)
    one, two = logged_in(domain, 1), logged_in(domain, 2)
    create(one, max_items="max")
    assert stanza_error(create(one, "more")) == "resource-constraint"
    for text in "abc":
        publish(one, text)
    assert items(one) == ["b", "c"]
    subscribe(one)
    assert stanza_error(subscribe(two)) == "resource-constraint"
    assert stanza_error(publish(one, "x" * 1000)) == "resource-constraint"
    assert publish(one, "a", to=None, node="n1").get("type") == "result"
    assert stanza_error(publish(one, "a", to=None, node="n2")) == "resource-constraint"


# Personal events


FEATURES = ("http://jabber.org/protocol/disco#info", "urn:n+notify")
VER = base64.b64encode(
    hashlib.sha1(("client/pc//test<" + "".join(f"{it}<" for it in FEATURES)).encode()).digest()
).decode()
CAPS = f"<c xmlns='http://jabber.org/protocol/caps' hash='sha-1' node='n' ver='{VER}'/>"


def announce(client: Client, ver: str = VER, features: tuple[str, ...] = FEATURES) -> int:
    """Send presence with caps and answer the server's queries; return their number."""
    client.send(f"<presence>{CAPS.replace(VER, ver)}</presence>".encode())
    asked = [it for it in client.stanzas() if it.tag == f"{C}iq" and it.get("type") == "get"]
    shown = "".join(f"<feature var='{it}'/>" for it in features)
    for request in asked:
        assert request[0].get("node") == f"n#{ver}"
        query = (
            "<query xmlns='http://jabber.org/protocol/disco#info'>"
            f"<identity category='client' type='pc' name='test'/>{shown}</query>"
        )
        client.send(
            f"<iq type='result' to='localhost' id='{request.get('id')}'>{query}</iq>".encode()
        )
    return len(asked)


def befriend(one: Client, two: Client) -> None:
    for a, b in ((one, two), (two, one)):
        a.send(f"<presence type='subscribe' to='{b.session.user.jid}'/>".encode())
        b.send(f"<presence type='subscribed' to='{a.session.user.jid}'/>".encode())
    for client in (one, two):
        client.heard()


def test_interested_contacts_receive_personal_events_without_a_subscription(domain: Domain) -> None:
    one, two, stranger = (logged_in(domain, number) for number in (1, 2, 3))
    befriend(one, two)
    assert announce(two) == 1
    assert announce(stranger) == 0, "its kind is known"
    other = logged_in(domain, 1, "other")
    announce(other)
    for client in (two, other, stranger):
        client.heard()
    assert publish(one, "a", to=None, node="urn:n").get("type") == "result"
    publish(one, "b", to=None, node="urn:m")
    assert texts(two) == ["a"]
    assert texts(other) == ["a"]
    assert texts(stranger) == []


def test_a_contact_that_is_also_subscribed_receives_an_event_once(domain: Domain) -> None:
    one, two = logged_in(domain, 1), logged_in(domain, 2)
    befriend(one, two)
    announce(two)
    publish(one, "a", to=None, node="urn:n")
    subscribe(two, two.session.user.jid, node="urn:n", to=one.session.user.jid)
    two.heard()
    publish(one, "b", to=None, node="urn:n")
    assert texts(two) == ["b"]


def test_the_last_item_is_sent_when_a_contact_becomes_available(domain: Domain) -> None:
    one, two = logged_in(domain, 1), logged_in(domain, 2)
    befriend(one, two)
    for text in "ab":
        publish(one, text, to=None, node="urn:n")
    two.heard()
    announce(two)
    assert texts(two) == ["b"]
    two.send(f"<presence>{CAPS}</presence>".encode())
    assert texts(two) == []
    later = logged_in(domain, 2, "later", there=False)
    later.send(f"<presence>{CAPS}</presence>".encode())
    assert texts(later) == ["b"]


def test_capabilities_with_a_wrong_hash_apply_only_to_the_client_that_sent_them(
    domain: Domain,
) -> None:
    one, two = logged_in(domain, 1), logged_in(domain, 2)
    announce(one, features=("urn:forged+notify",))
    assert one.session.notified == {"urn:forged"}
    announce(two)
    assert two.session.notified == {"urn:n"}


def test_strangers_read_only_open_nodes(domain: Domain) -> None:
    one, two = logged_in(domain, 1), logged_in(domain, 2)
    publish(one, "a", to=None, node="urn:n")
    read = pubsub(two, "get", "<items node='urn:n'/>", "user_1@localhost")
    assert stanza_error(read) == "not-authorized"
    assert stanza_error(publish(two, "x", to="user_1@localhost", node="urn:n")) == "forbidden"
    assert stanza_error(publish(two, "x", to="user_1@localhost", node="new")) == "forbidden"
    options = f"<publish-options>{form(access_model='open', max_items=2)}</publish-options>"
    assert publish(one, "b", to=None, node="open", options=options).get("type") == "result"
    assert items(two, to="user_1@localhost", node="open") == ["b"]
    unmet = publish(one, "b", to=None, node="urn:n", options=options)
    assert stanza_error(unmet) == "conflict"
    one.session.lost()
    assert items(two, to="user_1@localhost", node="open") == ["b"]
    missing = pubsub(two, "get", "<items node='x'/>", "user_9@localhost")
    assert stanza_error(missing) == "item-not-found"
