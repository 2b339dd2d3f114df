"""Pure. Contacts and subscriptions: the state tables of RFC 6121 appendix A.

A subscription between a user and a contact is four yes-or-no facts. The names of the states in
the RFC ("None + Pending Out", "From + Pending Out", ...) are combinations of them, so the tables
become a few lines. Outbound is what the user's own stanza does to the user's roster, inbound is
what the contact's does; each also says whether the stanza goes any further.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Final, NamedTuple

from amoc.xmpp.wire.xml_text import attributes, escape

KINDS: Final = frozenset({"subscribe", "subscribed", "unsubscribe", "unsubscribed"})
"""The types of presence that manage subscriptions."""

# How the roster names whether the user sees the contact's presence, and the contact the user's.
_SUBSCRIPTIONS: Final = {
    (False, False): "none",
    (True, False): "to",
    (False, True): "from",
    (True, True): "both",
}


@dataclass(frozen=True, slots=True)
class Contact:
    """One contact of a user, as the user's server sees it."""

    jid: str
    """The contact's bare address, prepared."""
    listed: bool = False
    """Whether it is in the roster; one that only asked for a subscription is not."""
    name: str | None = None
    groups: tuple[str, ...] = ()
    to: bool = False
    """The user sees the contact's presence."""
    from_: bool = False
    """The contact sees the user's presence."""
    asking: bool = False
    """The user has asked to see the contact's presence ("Pending Out")."""
    asked: bool = False
    """The contact has asked to see the user's presence ("Pending In")."""

    @property
    def subscription(self) -> str:
        """``none``, ``to``, ``from`` or ``both``."""
        return _SUBSCRIPTIONS[self.to, self.from_]

    @property
    def worth_keeping(self) -> bool:
        """Whether anything would be lost with it."""
        return self.listed or self.to or self.from_ or self.asking or self.asked

    def as_item(self) -> str:
        """The contact as a roster item (RFC 6121 section 2.1.2)."""
        ask = "subscribe" if self.asking else None
        groups = "".join(f"<group>{escape(group)}</group>" for group in self.groups)
        shown = attributes(jid=self.jid, name=self.name, subscription=self.subscription, ask=ask)
        head = f"<item{shown}"
        return f"{head}>{groups}</item>" if groups else f"{head}/>"


class Outcome(NamedTuple):
    """What a subscription stanza does."""

    contact: Contact
    """The contact afterwards."""
    passed: bool
    """Outbound: whether it is routed to the contact. Inbound: whether the user gets to see it."""


def outbound(contact: Contact, kind: str) -> Outcome:
    """The user sends `kind` to the contact (RFC 6121 appendix A.2)."""
    if kind == "subscribe":
        return Outcome(replace(contact, listed=True, asking=not contact.to), passed=True)
    if kind == "unsubscribe":
        return Outcome(replace(contact, to=False, asking=False), passed=True)
    if kind == "subscribed":
        # Without a request there is nothing to approve; approval in advance is not offered.
        if not contact.asked:
            return Outcome(contact, passed=False)
        return Outcome(replace(contact, listed=True, from_=True, asked=False), passed=True)
    refused = contact.asked or contact.from_
    return Outcome(replace(contact, from_=False, asked=False), passed=refused)


def inbound(contact: Contact, kind: str) -> Outcome:
    """The contact sent `kind` to the user (RFC 6121 appendix A.3)."""
    if kind == "subscribe":
        if contact.from_ or contact.asked:
            return Outcome(contact, passed=False)
        return Outcome(replace(contact, asked=True), passed=True)
    if kind == "unsubscribe":
        known = contact.asked or contact.from_
        return Outcome(replace(contact, from_=False, asked=False), passed=known)
    if kind == "subscribed":
        if not contact.asking:
            return Outcome(contact, passed=False)
        return Outcome(replace(contact, to=True, asking=False), passed=True)
    known = contact.asking or contact.to
    return Outcome(replace(contact, to=False, asking=False), passed=known)
