"""Subscriptions to presence (RFC 6121 section 3): a request goes from one roster to the other.

Both users belong to this domain, so both `roster.outbound()` and `roster.inbound()` are applied
here, one after the other. A request to a user who is not connected is stored until its next
presence.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from amoc.xmpp.wire import namespaces as ns
from amoc.xmpp.wire.xml_text import escape
from amoc.xmppd import roster
from amoc.xmppd.answers import presence, refuse_if
from amoc.xmppd.rewrite import addressed, stamp, stamped
from amoc.xmppd.roster import Contact

if TYPE_CHECKING:
    from amoc.xmppd.routing import Domain, User
    from amoc.xmppd.session import Session


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
    _push_change(domain, user, before, after)
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


def push(domain: Domain, user: User, item: str) -> None:
    """Push a change to the user's clients that requested the roster (RFC 6121 section 2.1.6)."""
    for session in user.sessions.values():
        if session.interested:
            session.transport.write(
                f"<iq type='set' id='push{domain.next_serial()}' to='{escape(session.jid)}'>"
                f"<query xmlns='{ns.ROSTER}'>{item}</query></iq>".encode()
            )


def _push_change(domain: Domain, user: User, before: Contact, after: Contact) -> None:
    if after.listed and (not before.listed or before.as_item() != after.as_item()):
        push(domain, user, after.as_item())


def _deliver(domain: Domain, sender: User, target: User, kind: str, stanza: bytes | None) -> None:
    """Apply a stanza at the target, and show or hide presence on either side accordingly."""
    before = target.contacts.get(sender.jid) or Contact(sender.jid)
    if kind == "subscribe" and before.from_:
        # Approved earlier; the sender's side has lost that (RFC 6121 section 3.1.3, point 1).
        _arrive(domain, sender, target.jid, "subscribed", None)
        _show(target, sender)
        return
    _arrive(domain, target, sender.jid, kind, stanza)
    if kind == "subscribed":
        _show(sender, target)
    elif kind == "unsubscribed" and before.to:
        _hide(sender, target)
    elif kind == "unsubscribe" and before.from_:
        _hide(target, sender)


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
    _push_change(domain, user, before, after)
    domain.forget_if_idle(user)


def _show(user: User, viewer: User) -> None:
    for source in user.available:
        viewer.send_to_available(addressed(source.presence or b"", viewer.jid))


def _hide(user: User, viewer: User) -> None:
    for source in user.available:
        viewer.send_to_available(presence("unavailable", from_=source.jid, to=viewer.jid))
