"""Anything sent to a service is answered or ends the stream, without an internal error."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.unit.xmppd.lab import logged_in, new_domain

pytestmark = pytest.mark.once

ADDRESSES = st.sampled_from(
    [
        "",
        "localhost",
        "user_1@localhost",
        "user_2@localhost",
        "user_2@localhost/r",
        "user_9@localhost",
        *(
            f"{room}{service}.localhost{nick}"
            for service in ("conference", "muclight", "pubsub")
            for room, nick in (("", ""), ("", "/n"), ("r@", ""), ("r@", "/one"), ("s@", "/n"))
        ),
    ]
)
NAMES = st.sampled_from(
    [
        "query",
        "x",
        "item",
        "items",
        "form",
        "iq",
        "pubsub",
        "publish",
        "retract",
        "create",
        "configure",
        "subscribe",
        "unsubscribe",
        "invite",
        "decline",
        "destroy",
        "history",
        "set",
        "max",
        "before",
        "after",
        "field",
        "value",
        "user",
        "occupants",
        "configuration",
        "roomname",
        "version",
        "prefs",
        "always",
        "never",
        "jid",
        "block",
        "unblock",
        "enable",
        "disable",
        "vCard",
        "c",
        "delete",
        "purge",
        "affiliations",
        "affiliation",
        "subscriptions",
        "subscription",
        "default",
        "options",
        "publish-options",
        "subject",
        "body",
        "reason",
        "password",
    ]
)
SPACES = st.sampled_from(
    [
        "jabber:client",
        "jabber:x:data",
        "jabber:iq:private",
        "vcard-temp",
        "urn:xmpp:mam:2",
        "urn:xmpp:blocking",
        "urn:xmpp:carbons:2",
        "urn:xmpp:muclight:0#create",
        "urn:xmpp:muclight:0#affiliations",
        "urn:xmpp:muclight:0#configuration",
        "urn:xmpp:muclight:0#info",
        "urn:xmpp:muclight:0#destroy",
        "http://jabber.org/protocol/muc",
        "http://jabber.org/protocol/muc#user",
        "http://jabber.org/protocol/muc#admin",
        "http://jabber.org/protocol/muc#owner",
        "http://jabber.org/protocol/pubsub",
        "http://jabber.org/protocol/pubsub#owner",
        "http://jabber.org/protocol/rsm",
        "http://jabber.org/protocol/caps",
        "http://jabber.org/protocol/disco#info",
        "http://jabber.org/protocol/disco#items",
    ]
)
ATTRIBUTES = st.dictionaries(
    st.sampled_from(
        [
            "type",
            "id",
            "node",
            "jid",
            "nick",
            "role",
            "affiliation",
            "var",
            "max_items",
            "subscription",
            "to",
            "from",
            "xmlns:q",
            "ver",
            "maxstanzas",
            "seconds",
            "since",
            "default",
            "subid",
        ]
    ),
    st.sampled_from(
        [
            "get",
            "set",
            "submit",
            "cancel",
            "form",
            "result",
            "error",
            "unavailable",
            "groupchat",
            "chat",
            "owner",
            "admin",
            "member",
            "none",
            "outcast",
            "moderator",
            "participant",
            "visitor",
            "subscribed",
            "n",
            "one",
            "0",
            "1",
            "-1",
            "9999999999",
            "user_1@localhost",
            "user_2@localhost",
            "@",
            "&lt;",
            "FORM_TYPE",
            "with",
            "start",
            "end",
            "muc#roomconfig_maxusers",
            "pubsub#max_items",
            "pubsub#access_model",
            "presence",
            "whitelist",
            "always",
        ]
    ),
    max_size=4,
)
TEXTS = st.sampled_from(["", "1", "x", "user_2@localhost", "&amp;", "2026-01-01T00:00:00Z", "max"])


def element(name: str, space: str, attrs: dict[str, str], text: str, inner: list[str]) -> str:
    shown = "".join(f" {key}='{value}'" for key, value in attrs.items())
    return f"<{name} xmlns='{space}'{shown}>{text}{''.join(inner)}</{name}>"


ELEMENTS = st.recursive(
    st.builds(element, NAMES, SPACES, ATTRIBUTES, TEXTS, st.just([])),
    lambda inner: st.builds(
        element, NAMES, SPACES, ATTRIBUTES, TEXTS, st.lists(inner, min_size=1, max_size=3)
    ),
    max_leaves=6,
)
KINDS = st.sampled_from(["message", "presence", "iq"])
TYPES = st.sampled_from(["", "get", "set", "result", "error", "groupchat", "chat", "unavailable"])


def stanza(kind: str, type_: str, to: str, content: list[str]) -> bytes:
    typed = f" type='{type_}'" if type_ else ""
    address = f" to='{to}'" if to else ""
    return f"<{kind} id='1'{typed}{address}>{''.join(content)}</{kind}>".encode()


STANZAS = st.builds(stanza, KINDS, TYPES, ADDRESSES, st.lists(ELEMENTS, max_size=2))
JOIN = b"<presence to='r@conference.localhost/one'><x xmlns='http://jabber.org/protocol/muc'/></presence>"
LIGHT = (
    b"<iq type='set' id='l' to='r@muclight.localhost'>"
    b"<query xmlns='urn:xmpp:muclight:0#create'/></iq>"
)
NODE = (
    b"<iq type='set' id='n' to='pubsub.localhost'><pubsub xmlns='http://jabber.org/protocol/pubsub'>"
    b"<create node='n'/></pubsub></iq>"
)


@settings(max_examples=200)
@given(st.lists(STANZAS, min_size=1, max_size=12))
def test_no_stanza_causes_an_internal_error(stanzas: list[bytes]) -> None:
    domain = new_domain(archived=5)
    one, two = logged_in(domain, 1), logged_in(domain, 2)
    for setup in (JOIN, LIGHT, NODE):
        one.send(setup)
    for number, data in enumerate(stanzas):
        (one, two)[number % 2].send(data)
    assert domain.counts.internal_errors == 0
    for client in (one, two):
        client.stanzas()  # raises unless everything sent is well-formed
        client.session.lost()
    assert not domain.sessions
    assert domain.budget.used >= 0
