"""A user's contacts: roster requests (RFC 6121 section 2), subscriptions to presence (section 3).

Both users of a subscription belong to this domain, so both `roster.outbound()` and
`roster.inbound()` are applied here, one after the other. A request to a user who is not connected
is stored until its next presence.
"""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Final
from xml.etree.ElementTree import Element

from amoc.xmpp.wire import namespaces as ns
from amoc.xmppd import roster
from amoc.xmppd.answers import StanzaFailure, presence, refuse_if
from amoc.xmppd.rewrite import addressed, stamp, stamped
from amoc.xmppd.roster import Contact
from amoc.xmppd.services.service import named

if TYPE_CHECKING:
    from amoc.xmppd.routing import Domain, User
    from amoc.xmppd.session import Session

QUERY: Final = f"{{{ns.ROSTER}}}query"
_ITEM: Final = f"{{{ns.ROSTER}}}item"
_GROUP: Final = f"{{{ns.ROSTER}}}group"
_MAX_NAME: Final = 1023
_MAX_GROUPS: Final = 100


def get(session: Session, _query: Element) -> str:
    """Return the roster; from now on the session gets its changes (RFC 6121 section 2.1.3)."""
    session.interested = True
    contacts = session.user.contacts.values()
    items = "".join(contact.as_item() for contact in contacts if contact.listed)
    return f"<query xmlns='{ns.ROSTER}'>{items}</query>"


def change(session: Session, query: Element) -> str:
    """Add, change or remove one contact (RFC 6121 sections 2.3 to 2.5).

    Raises:
        StanzaFailure: The request is invalid, or the roster is full.
    """
    refuse_if(len(query) != 1 or query[0].tag != _ITEM, "bad-request")
    item = query[0]
    jid = named(item.get("jid")).bare
    if item.get("subscription") == "remove":
        _remove(session, jid)
    else:
        _update(session, jid, item)
    return ""


def _update(session: Session, jid: str, item: Element) -> None:
    name = item.get("name")
    groups = tuple(group.text or "" for group in item.iterfind(_GROUP))
    refuse_if(len(set(groups)) != len(groups), "bad-request")
    refuse_if("" in groups or len(groups) > _MAX_GROUPS, "not-acceptable")
    refuse_if(any(len(text) > _MAX_NAME for text in (name or "", *groups)), "not-acceptable")
    contact = session.user.contacts.get(jid) or Contact(jid)
    changed = replace(contact, listed=True, name=name, groups=groups)
    refuse_if(not session.domain.remember(session.user, changed), "resource-constraint")
    push(session.user, changed.as_item())


def _remove(session: Session, jid: str) -> None:
    contact = session.user.contacts.get(jid)
    if contact is None or not contact.listed:
        raise StanzaFailure("item-not-found")
    # RFC 6121 section 2.5.2: a contact is unsubscribed in both directions before it is removed.
    cancel(session, contact)
    session.domain.remember(session.user, Contact(jid))
    gone = replace(contact, to=False, from_=False, asking=False, name=None, groups=())
    item = gone.as_item().replace("subscription='none'", "subscription='remove'")
    push(session.user, item)


# Subscriptions


def handle(session: Session, kind: str, attrs: dict[str, str], raw: bytes) -> None:
    """Process a subscription stanza for its sender and its target.

    Raises:
        StanzaFailure: The target is not a user of this domain, or the sender's roster is full.
    """
    domain = session.domain
    jid = domain.address(attrs["to"])
    refuse_if(not jid.local, "service-unavailable")
    user = session.user
    if jid.bare == user.jid:
        return  # users are always subscribed to their own presence (RFC 6121 section 3.1.1)
    before = user.contacts.get(jid.bare) or Contact(jid.bare)
    after, passed = roster.outbound(before, kind)
    refuse_if(not domain.remember(user, after), "resource-constraint")
    _push_change(user, before, after)
    if not passed:
        return
    if not domain.exists(jid.local):
        # As if the contact had refused (RFC 6121 section 8.5.1).
        if kind == "subscribe":
            _arrive(domain, user, jid.bare, "unsubscribed", None)
        return
    stanza = None
    if kind == "subscribe":
        # A request may contain a nickname or a note to the contact, so it is passed on unchanged.
        changes = {"from": user.jid, "to": jid.bare}
        stanza = stamped(
            "presence", attrs, raw, root=session.framer.root, stamp=stamp(changes), changes=changes
        )
    _deliver(domain, user, domain.user(jid.local), kind, stanza)


def cancel(session: Session, contact: Contact) -> None:
    """End the subscriptions between a user and a contact, in both directions."""
    domain = session.domain
    other = domain.users.get(contact.jid)
    after = contact
    for kind in ("unsubscribe", "unsubscribed"):
        before = after
        after, passed = roster.outbound(before, kind)
        if other is not None and passed and before != after:
            domain.remember(session.user, after)
            _deliver(domain, session.user, other, kind, None)


def deliver_requests(session: Session) -> None:
    """Deliver stored requests to a client that has become available (RFC 6121 section 3.1.3)."""
    for contact in session.user.contacts.values():
        if contact.asked:
            session.transport.write(presence("subscribe", from_=contact.jid, to=session.user.jid))


def push(user: User, item: str) -> None:
    """Push a change to the user's clients that requested the roster (RFC 6121 section 2.1.6)."""
    for session in user.sessions.values():
        if session.interested:
            session.push(f"<query xmlns='{ns.ROSTER}'>{item}</query>")


def _push_change(user: User, before: Contact, after: Contact) -> None:
    if after.listed and (not before.listed or before.as_item() != after.as_item()):
        push(user, after.as_item())


def _deliver(domain: Domain, sender: User, target: User, kind: str, stanza: bytes | None) -> None:
    """Apply a stanza at the target, and show or hide presence on either side accordingly."""
    before = target.contacts.get(sender.jid) or Contact(sender.jid)
    if kind == "subscribe" and before.from_:
        # Approved earlier; the sender's side has lost that (RFC 6121 section 3.1.3, point 1).
        _arrive(domain, sender, target.jid, "subscribed", None)
        show(target, sender)
        return
    _arrive(domain, target, sender.jid, kind, stanza)
    if kind == "subscribed":
        show(sender, target)
    elif kind == "unsubscribed" and before.to:
        hide(sender, target)
    elif kind == "unsubscribe" and before.from_:
        hide(target, sender)


def _arrive(domain: Domain, user: User, from_: str, kind: str, stanza: bytes | None) -> None:
    before = user.contacts.get(from_) or Contact(from_)
    after, passed = roster.inbound(before, kind)
    if not domain.remember(user, after):
        # Too many requests: this one is ignored.
        domain.forget_if_idle(user)
        return
    if passed:
        data = stanza if stanza is not None else presence(kind, from_=from_, to=user.jid)
        for session in user.available if kind == "subscribe" else user.sessions.values():
            if kind == "subscribe" or session.interested:
                session.transport.write(data)
    _push_change(user, before, after)
    domain.forget_if_idle(user)


def show(user: User, viewer: User) -> None:
    """Show a user's clients to another user."""
    for source in user.available:
        viewer.send_to_available(addressed(source.presence or b"", viewer.jid))


def hide(user: User, viewer: User) -> None:
    """Show a user's clients as unavailable to another user."""
    for source in user.available:
        viewer.send_to_available(presence("unavailable", from_=source.jid, to=viewer.jid))
