"""Pure. Contacts and subscriptions: the state tables of RFC 6121 appendix A.

A subscription between a user and a contact consists of four booleans. The states named in the RFC
("None + Pending Out", "From + Pending Out", ...) are combinations of them, so the tables become a
few lines. Outbound is the effect of the user's own stanza on the user's roster, inbound that of the
contact's stanza; each also tells whether the stanza is passed on.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Final, NamedTuple

from amoc.xmpp.wire.xml_text import attributes, escape

KINDS: Final = frozenset({"subscribe", "subscribed", "unsubscribe", "unsubscribed"})
"""Presence types that manage subscriptions."""

# Names in the roster for (user sees the contact's presence, contact sees the user's).
_SUBSCRIPTIONS: Final = {
    (False, False): "none",
    (True, False): "to",
    (False, True): "from",
    (True, True): "both",
}


@dataclass(frozen=True, slots=True)
class Contact:
    """One contact of a user, as known to the user's server."""

    jid: str
    """The contact's bare address, normalised."""
    listed: bool = False
    """Whether it is in the roster; one that has only requested a subscription is not."""
    name: str | None = None
    groups: tuple[str, ...] = ()
    to: bool = False
    """The user sees the contact's presence."""
    from_: bool = False
    """The contact sees the user's presence."""
    asking: bool = False
    """The user has requested to see the contact's presence ("Pending Out")."""
    asked: bool = False
    """The contact has requested to see the user's presence ("Pending In")."""

    @property
    def subscription(self) -> str:
        """``none``, ``to``, ``from`` or ``both``."""
        return _SUBSCRIPTIONS[self.to, self.from_]

    @property
    def worth_keeping(self) -> bool:
        """Whether it holds any information."""
        return self.listed or self.to or self.from_ or self.asking or self.asked

    def as_item(self) -> str:
        """Return the contact as a roster item (RFC 6121 section 2.1.2)."""
        ask = "subscribe" if self.asking else None
        groups = "".join(f"<group>{escape(group)}</group>" for group in self.groups)
        shown = attributes(jid=self.jid, name=self.name, subscription=self.subscription, ask=ask)
        head = f"<item{shown}"
        return f"{head}>{groups}</item>" if groups else f"{head}/>"


class Outcome(NamedTuple):
    """The effect of a subscription stanza."""

    contact: Contact
    """The contact afterwards."""
    passed: bool
    """Outbound: whether it is routed to the contact. Inbound: whether it is shown to the user."""


def outbound(contact: Contact, kind: str) -> Outcome:
    """Return the effect of the user sending `kind` to the contact (RFC 6121 appendix A.2)."""
    if kind == "subscribe":
        return Outcome(replace(contact, listed=True, asking=not contact.to), passed=True)
    if kind == "unsubscribe":
        return Outcome(replace(contact, to=False, asking=False), passed=True)
    if kind == "subscribed":
        # Without a request there is nothing to approve; pre-approval is not offered.
        if not contact.asked:
            return Outcome(contact, passed=False)
        return Outcome(replace(contact, listed=True, from_=True, asked=False), passed=True)
    refused = contact.asked or contact.from_
    return Outcome(replace(contact, from_=False, asked=False), passed=refused)


def inbound(contact: Contact, kind: str) -> Outcome:
    """Return the effect of the contact sending `kind` to the user (RFC 6121 appendix A.3)."""
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
