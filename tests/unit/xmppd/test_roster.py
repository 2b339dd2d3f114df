"""The tables of RFC 6121 appendix A, row by row."""

from __future__ import annotations

import pytest

from amoc.xmppd.roster import Contact, inbound, outbound

STATES = {
    "none": Contact("x"),
    "none+out": Contact("x", asking=True),
    "none+in": Contact("x", asked=True),
    "none+out+in": Contact("x", asking=True, asked=True),
    "to": Contact("x", to=True),
    "to+in": Contact("x", to=True, asked=True),
    "from": Contact("x", from_=True),
    "from+out": Contact("x", from_=True, asking=True),
    "both": Contact("x", to=True, from_=True),
}
# state -> (routed or delivered, state afterwards), as printed in the RFC
OUTBOUND = {
    "subscribe": {
        "none": (True, "none+out"), "none+out": (True, "none+out"),
        "none+in": (True, "none+out+in"), "none+out+in": (True, "none+out+in"),
        "to": (True, "to"), "to+in": (True, "to+in"),
        "from": (True, "from+out"), "from+out": (True, "from+out"), "both": (True, "both"),
    },
    "unsubscribe": {
        "none": (True, "none"), "none+out": (True, "none"), "none+in": (True, "none+in"),
        "none+out+in": (True, "none+in"), "to": (True, "none"), "to+in": (True, "none+in"),
        "from": (True, "from"), "from+out": (True, "from"), "both": (True, "from"),
    },
    "subscribed": {
        "none": (False, "none"), "none+out": (False, "none+out"), "none+in": (True, "from"),
        "none+out+in": (True, "from+out"), "to": (False, "to"), "to+in": (True, "both"),
        "from": (False, "from"), "from+out": (False, "from+out"), "both": (False, "both"),
    },
    "unsubscribed": {
        "none": (False, "none"), "none+out": (False, "none+out"), "none+in": (True, "none"),
        "none+out+in": (True, "none+out"), "to": (False, "to"), "to+in": (True, "to"),
        "from": (True, "none"), "from+out": (True, "none+out"), "both": (True, "to"),
    },
}  # fmt: skip
INBOUND = {
    "subscribe": {
        "none": (True, "none+in"), "none+out": (True, "none+out+in"), "none+in": (False, "none+in"),
        "none+out+in": (False, "none+out+in"), "to": (True, "to+in"), "to+in": (False, "to+in"),
        "from": (False, "from"), "from+out": (False, "from+out"), "both": (False, "both"),
    },
    "unsubscribe": {
        "none": (False, "none"), "none+out": (False, "none+out"), "none+in": (True, "none"),
        "none+out+in": (True, "none+out"), "to": (False, "to"), "to+in": (True, "to"),
        "from": (True, "none"), "from+out": (True, "none+out"), "both": (True, "to"),
    },
    "subscribed": {
        "none": (False, "none"), "none+out": (True, "to"), "none+in": (False, "none+in"),
        "none+out+in": (True, "to+in"), "to": (False, "to"), "to+in": (False, "to+in"),
        "from": (False, "from"), "from+out": (True, "both"), "both": (False, "both"),
    },
    "unsubscribed": {
        "none": (False, "none"), "none+out": (True, "none"), "none+in": (False, "none+in"),
        "none+out+in": (True, "none+in"), "to": (True, "none"), "to+in": (True, "none+in"),
        "from": (False, "from"), "from+out": (True, "from"), "both": (True, "from"),
    },
}  # fmt: skip


def state_of(contact: Contact) -> str:
    facts = (contact.to, contact.from_, contact.asking, contact.asked)
    return next(
        name
        for name, other in STATES.items()
        if (other.to, other.from_, other.asking, other.asked) == facts
    )


@pytest.mark.parametrize("kind", OUTBOUND)
@pytest.mark.parametrize("state", STATES)
def test_outbound_presence_follows_appendix_a2(kind: str, state: str) -> None:
    outcome = outbound(STATES[state], kind)
    assert (outcome.passed, state_of(outcome.contact)) == OUTBOUND[kind][state]


@pytest.mark.parametrize("kind", INBOUND)
@pytest.mark.parametrize("state", STATES)
def test_inbound_presence_follows_appendix_a3(kind: str, state: str) -> None:
    outcome = inbound(STATES[state], kind)
    assert (outcome.passed, state_of(outcome.contact)) == INBOUND[kind][state]


def test_an_item_is_escaped() -> None:
    contact = Contact("a&b@c", name="<'\">", groups=("<g>",), to=True, asking=False)
    assert contact.as_item() == (
        "<item jid='a&amp;b@c' name='&lt;&apos;&quot;&gt;' subscription='to'>"
        "<group>&lt;g&gt;</group></item>"
    )
