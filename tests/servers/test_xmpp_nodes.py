"""Publish-subscribe (XEP-0060) and personal events (XEP-0163), on all servers."""

from __future__ import annotations

import itertools

import gevent
import pytest

from amoc import xmpp
from tests.servers.conftest import Connect

PATIENCE_S = 60.0
pytestmark = pytest.mark.once
AT = "pubsub.localhost"
_nodes = itertools.count(1)


@pytest.fixture
def node() -> str:
    return f"node{next(_nodes)}"


def befriend(alice: xmpp.Client, bob: xmpp.Client) -> None:
    """Both call it at once."""
    other = gevent.spawn(alice.befriend, bob.user_id or 0, PATIENCE_S)
    bob.befriend(alice.user_id or 0, PATIENCE_S)
    other.get(timeout=PATIENCE_S)


def event(client: xmpp.Client, node: str) -> xmpp.Event:
    found = xmpp.event_of(client.receive(xmpp.is_event(node), timeout=PATIENCE_S))
    assert found is not None
    assert found.node == node
    return found


def test_a_subscriber_receives_published_items(connect: Connect, node: str) -> None:
    with connect() as alice, connect() as bob:
        alice.create_node(node, at=AT)
        assert bob.subscribe(node, at=AT) == "subscribed"
        assert bob.subscriptions(at=AT)[node] == "subscribed"
        item_id = alice.publish(node, "<n xmlns='urn:n'>1</n>", at=AT, id="first")
        assert item_id == "first"
        heard = event(bob, node)
        assert [one.id for one in heard.items] == ["first"]
        payload = heard.items[0].payload
        assert payload is not None
        assert (payload.tag, payload.text) == ("{urn:n}n", "1")
        assert [one.id for one in bob.items(node, at=AT)] == ["first"]
        alice.retract(node, "first", at=AT)
        assert event(bob, node).retracted == ["first"]
        assert bob.items(node, at=AT) == []
        bob.unsubscribe(node, at=AT)
        assert node not in bob.subscriptions(at=AT)
        alice.delete_node(node, at=AT)
        with pytest.raises(xmpp.IqError, match="item-not-found"):
            bob.items(node, at=AT)


def test_a_node_keeps_its_configured_number_of_items(connect: Connect, node: str) -> None:
    with connect() as alice:
        alice.create_node(node, {"max_items": 2, "persist_items": True}, at=AT)
        assert alice.node_configuration(node, at=AT)["pubsub#max_items"] == ["2"]
        ids = [alice.publish(node, f"<n xmlns='urn:n'>{n}</n>", at=AT) for n in range(3)]
        assert sorted(one.id for one in alice.items(node, at=AT)) == sorted(ids[1:])
        alice.configure_node(node, {"max_items": 1}, at=AT)
        assert alice.node_configuration(node, at=AT)["pubsub#max_items"] == ["1"]
        alice.purge_node(node, at=AT)
        assert alice.items(node, at=AT) == []


def test_an_owner_decides_who_may_publish(connect: Connect, node: str, xmpp_name: str) -> None:
    with connect() as alice, connect() as bob:
        alice.create_node(node, {"publish_model": "publishers"}, at=AT)
        if xmpp_name != "prosody":  # there all accounts of the tests are administrators
            with pytest.raises(xmpp.IqError, match="forbidden"):
                bob.publish(node, "<n xmlns='urn:n'/>", at=AT)
        alice.set_node_affiliations(node, {bob.bare_jid: "publisher"}, at=AT)
        assert alice.node_affiliations(node, at=AT)[bob.bare_jid] == "publisher"
        bob.publish(node, "<n xmlns='urn:n'/>", at=AT)


def test_contacts_receive_personal_events_they_asked_for(connect: Connect) -> None:
    with connect() as alice, connect() as bob:
        befriend(alice, bob)
        bob.announce("urn:x:mood+notify")
        assert alice.disco(bob.jid).features >= {"urn:x:mood+notify", "urn:xmpp:ping"}
        assert alice.disco_items(bob.jid) == []
        alice.publish("urn:x:other", "<other xmlns='urn:x:other'/>")
        alice.publish("urn:x:mood", "<mood xmlns='urn:x:mood'>happy</mood>", id="current")
        heard = event(bob, "urn:x:mood")
        payload = heard.items[0].payload
        assert payload is not None
        assert payload.text == "happy"
        assert bob.receive_nowait(xmpp.is_event("urn:x:other")) is None
        assert [one.id for one in bob.items("urn:x:mood", at=alice.user_id)] == ["current"]
        with pytest.raises(xmpp.IqError, match="item-not-found"):
            bob.items("urn:x:nothing", at=alice.user_id)
