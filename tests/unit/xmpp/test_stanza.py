"""Received stanzas, predicates on them, and their conversion to slixmpp."""

from __future__ import annotations

import subprocess
import sys
import textwrap

import pytest

from amoc import xmpp
from amoc.base.errors import ScenarioError
from amoc.xmpp import encode
from amoc.xmpp.features import roster

CHAT = xmpp.Stanza.of(
    "<message from='user_2@localhost/amoc' to='a@b' type='chat' id='m1'><body>hi &amp; bye</body>"
    "<x xmlns='urn:x'/></message>"
)
PLAIN = xmpp.Stanza.of("<message><subject>s</subject></message>")
HERE = xmpp.Stanza.of("<presence from='user_2@localhost/amoc'/>")
GONE = xmpp.Stanza.of("<presence type='unavailable' from='user_2@localhost/amoc'/>")
WISH = xmpp.Stanza.of("<presence type='subscribe' from='user_2@localhost'/>")
ASK = xmpp.Stanza.of("<iq type='get' id='i'><query xmlns='jabber:iq:roster'/></iq>")
REFUSAL = xmpp.Stanza.of(
    "<iq type='error' id='i'><error type='cancel'>"
    "<gone xmlns='urn:ietf:params:xml:ns:xmpp-stanzas'>elsewhere</gone></error></iq>"
)
ALL = [CHAT, PLAIN, HERE, GONE, WISH, ASK, REFUSAL]


@pytest.mark.parametrize(
    ("match", "accepted"),
    [
        (xmpp.is_any, ALL),
        (xmpp.is_message, [CHAT, PLAIN]),
        (xmpp.is_chat, [CHAT]),
        (xmpp.is_groupchat, []),
        (xmpp.is_headline, []),
        (xmpp.is_presence, [HERE, GONE, WISH]),
        (xmpp.is_available, [HERE]),
        (xmpp.is_unavailable, [GONE]),
        (xmpp.is_subscription, [WISH]),
        (xmpp.is_iq, [ASK, REFUSAL]),
        (xmpp.is_request, [ASK]),
        (xmpp.is_answer, [REFUSAL]),
        (xmpp.is_error, [REFUSAL]),
        (xmpp.has_type("normal"), [PLAIN]),
        (xmpp.has_type("available"), [HERE]),
        (xmpp.has_id("i"), [ASK, REFUSAL]),
        (xmpp.has_body(), [CHAT]),
        (xmpp.has_body("hi & bye"), [CHAT]),
        (xmpp.has_body("hi"), []),
        (xmpp.has_child("urn:x"), [CHAT]),
        (xmpp.has_child("urn:x", "x"), [CHAT]),
        (xmpp.has_child("urn:x", "y"), []),
        (xmpp.from_jid(2), [CHAT, HERE, GONE, WISH]),
        (xmpp.from_jid("user_2@localhost"), [CHAT, HERE, GONE, WISH]),
        (xmpp.from_jid("user_2@localhost/amoc"), [CHAT, HERE, GONE]),
        (xmpp.from_jid(22), []),
        (xmpp.is_message & ~xmpp.is_chat, [PLAIN]),
        (xmpp.is_chat | xmpp.is_request, [CHAT, ASK]),
        (xmpp.is_message & (lambda stanza: stanza.id == "m1"), [CHAT]),
    ],
    ids=str,
)
def test_predicates_accept_the_stanzas_they_describe(
    match: xmpp.Match, accepted: list[xmpp.Stanza]
) -> None:
    assert [stanza for stanza in ALL if match(stanza)] == accepted


def test_a_combined_predicate_describes_itself() -> None:
    assert repr(xmpp.is_chat & ~xmpp.from_jid(7)) == "(is_chat & ~from_jid(7))"


def test_a_stanza_has_its_common_attributes() -> None:
    assert (CHAT.name, CHAT.type, CHAT.id, CHAT.to) == ("message", "chat", "m1", "a@b")
    assert (CHAT.sender, CHAT.body) == ("user_2@localhost/amoc", "hi & bye")
    assert (PLAIN.type, HERE.type, PLAIN.body, PLAIN.sender) == ("normal", "available", None, "")
    assert REFUSAL.error == ("gone", "cancel", "")
    assert CHAT.error is None
    assert ASK.payload is not None
    assert repr(CHAT) == "<message chat from user_2@localhost/amoc>"


def test_a_stanza_survives_the_round_trip_through_slixmpp() -> None:
    from slixmpp import Message

    assert isinstance(CHAT.stanza, Message)
    assert CHAT["from"].bare == "user_2@localhost"
    assert CHAT["body"] == "hi & bye"
    assert CHAT.stanza is CHAT.stanza
    assert str(xmpp.Stanza.of(encode.outgoing(CHAT.stanza)[0])) == str(CHAT)


def test_an_element_without_a_slixmpp_class_is_refused() -> None:
    with pytest.raises(ScenarioError, match="classes for message, presence and iq only"):
        _ = xmpp.Stanza.of("<success xmlns='urn:ietf:params:xml:ns:xmpp-sasl'/>").stanza


def test_slixmpp_stanzas_are_encoded() -> None:
    from slixmpp import Iq, Message

    message = Message()
    message["to"], message["type"], message["body"] = "a@b", "chat", "<&>"
    data, is_message = encode.outgoing(message)
    assert is_message
    assert b"<body>&lt;&amp;&gt;</body>" in data
    assert b"xmlns" not in data
    iq = Iq()
    iq["type"], iq["query"] = "get", "jabber:iq:version"
    element = encode.iq(iq, None, "get", "q7")
    assert element.get("id") == "q7"


def test_a_payload_is_wrapped_in_an_iq() -> None:
    element = encode.iq("<query xmlns='urn:q'/>", 7, "set", "q1")
    assert element.attrib == {"type": "set", "to": "user_7@localhost", "id": "q1"}
    whole = encode.iq("<iq type='get' id='mine'><q xmlns='urn:q'/></iq>", None, "set", "q1")
    assert whole.attrib == {"type": "get", "id": "mine"}
    with pytest.raises(ScenarioError, match="raw XML"):
        encode.iq("<query", None, "get", "q1")


def test_rosters_are_parsed_and_written() -> None:
    answer = xmpp.Stanza.of(
        "<iq type='result'><query xmlns='jabber:iq:roster'>"
        "<item jid='a@b' name='A' subscription='to' ask='subscribe'><group>G</group></item>"
        "<item jid='c@d'/></query></iq>"
    )
    assert roster.contacts(answer.xml) == {
        "a@b": xmpp.Contact("a@b", "A", "to", True, ("G",)),
        "c@d": xmpp.Contact("c@d", "", "none", False, ()),
    }
    assert roster.put("a@b", "<n>", ["g&"]) == (
        "<query xmlns='jabber:iq:roster'><item jid='a@b' name='&lt;n&gt;'>"
        "<group>g&amp;</group></item></query>"
    )


@pytest.mark.slow
@pytest.mark.parametrize("patched", [True, False])
def test_importing_starts_no_hub_no_thread_and_opens_no_descriptor(patched: bool) -> None:
    code = f"""
        import os
        if {patched}:
            from gevent import monkey
            monkey.patch_all(os=False, signal=False)
        before = len(os.listdir("/proc/self/fd"))
        import sys
        from amoc import xmpp
        assert "slixmpp" not in sys.modules, "slixmpp must wait until it is needed"
        xmpp.preload()
        xmpp.preload()
        assert "slixmpp" in sys.modules
        from gevent._hub_local import get_hub_if_exists
        assert get_hub_if_exists() is None, "a hub is alive"
        assert len(os.listdir("/proc/self/task")) == 1, "a thread is alive"
        assert len(os.listdir("/proc/self/fd")) <= before, "a descriptor was left open"
        from slixmpp import Iq
        print(Iq()["type"], "ok")
    """
    done = subprocess.run(
        [sys.executable, "-c", textwrap.dedent(code)], capture_output=True, text=True, timeout=60
    )
    assert done.stdout.strip() == "ok", done.stderr
