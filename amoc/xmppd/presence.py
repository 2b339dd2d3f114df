"""Presence (RFC 6121 section 4): a client's availability, sent to those who may see it.

A client's last announcement is stored as the bytes that others get, with its address in it, so
sending it to a further contact costs one insertion. In whatever way a client leaves, everyone who
received its presence gets unavailable presence.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from amoc.xmpp.wire import namespaces as ns
from amoc.xmpp.wire.framing import tree
from amoc.xmppd import contacts, roster
from amoc.xmppd.answers import StanzaFailure, presence, refuse_if
from amoc.xmppd.jids import parse
from amoc.xmppd.rewrite import addressed
from amoc.xmppd.services import offline

if TYPE_CHECKING:
    from amoc.xmppd.jids import Jid
    from amoc.xmppd.session import Session

_PRIORITY = f"{{{ns.CLIENT}}}priority"


def handle(session: Session, attrs: dict[str, str], raw: bytes) -> None:
    """Process a presence stanza of a bound client."""
    kind = attrs.get("type")
    to = attrs.get("to")
    try:
        if kind is None and to is None:
            _announce(session, attrs, raw)
        elif kind == "unavailable" and to is None:
            _withdraw(session, session.domain.stamped("presence", session, attrs, raw))
        elif to is None:
            raise StanzaFailure("bad-request")
        elif (jid := session.domain.address(to)).domain != session.domain.name:
            _to_service(session, kind, jid, attrs, raw)
        elif kind in roster.KINDS:
            contacts.handle(session, kind, attrs, raw)
        elif kind in (None, "unavailable", "error"):
            _direct(session, kind, to, attrs, raw)
        elif kind == "probe":
            _probe(session, to)
        else:
            raise StanzaFailure("bad-request")
    except StanzaFailure as failure:
        if kind != "error":
            session.refuse("presence", failure.condition, attrs)


def left(session: Session) -> None:
    """Send unavailable presence for a client that is gone (RFC 6121 section 4.5.2)."""
    if session.presence is not None or session.directed:
        _withdraw(session, f"<presence type='unavailable'{session.stamp.decode()}/>".encode())


def _announce(session: Session, attrs: dict[str, str], raw: bytes) -> None:
    session.priority = _priority(session, raw)
    initial = session.presence is None
    session.presence = session.domain.stamped("presence", session, attrs, raw)
    session.since = session.domain.next_serial()
    user = session.user
    user.choose_first()
    # Its user's clients, itself included, see it as subscribers do (RFC 6121 section 4.2.2).
    _broadcast(session, session.presence)
    offline.deliver(session)
    session.domain.caps.announced(session, raw)
    if not initial:
        return
    for other in user.available:
        if other is not session and other.presence is not None:
            session.transport.write(addressed(other.presence, user.jid))
    for contact in user.contacts.values():
        if contact.to:
            _show(session, contact.jid)
    contacts.deliver_requests(session)


def _priority(session: Session, raw: bytes) -> int:
    if b"priority" not in raw:
        return 0
    text = tree(session.framer.root, raw).findtext(_PRIORITY, "0").strip()
    try:
        value = int(text[:8])
    except ValueError:
        raise StanzaFailure("bad-request") from None
    refuse_if(not -128 <= value <= 127, "bad-request")
    return value


def _broadcast(session: Session, data: bytes) -> None:
    user = session.user
    user.send_to_available(addressed(data, user.jid))
    for contact in user.contacts.values():
        viewer = session.domain.users.get(contact.jid) if contact.from_ else None
        if viewer is not None and not (user.special and user.blocks(contact.jid)):
            viewer.send_to_available(addressed(data, viewer.jid))


def _withdraw(session: Session, data: bytes) -> None:
    if session.presence is not None:
        session.presence = None
        session.user.choose_first()
        _broadcast(session, data)
    directed, session.directed = session.directed, set()
    for address in sorted(directed):
        jid = parse(address)
        if jid.domain != session.domain.name:
            attrs = {"type": "unavailable", "to": address}
            incoming = session.domain.incoming("presence", session, jid, attrs, data)
            session.domain.services[jid.domain].take(incoming)
            continue
        for other in _at(session, address):
            other.transport.write(addressed(data, address))


def _at(session: Session, address: str) -> list[Session]:
    target = session.domain.sessions.get(address)
    if target is not None:
        return [target]
    user = session.domain.users.get(address)
    return user.available if user is not None else []


def _to_service(
    session: Session, kind: str | None, jid: Jid, attrs: dict[str, str], raw: bytes
) -> None:
    """Pass presence to a service, which must learn later when the client is gone."""
    if kind is None:
        refuse_if(len(session.directed) >= session.domain.limits.directed, "resource-constraint")
        session.directed.add(jid.full)
    elif kind == "unavailable":
        session.directed.discard(jid.full)
    session.domain.services[jid.domain].take(
        session.domain.incoming("presence", session, jid, attrs, raw)
    )


def _direct(session: Session, kind: str | None, to: str, attrs: dict[str, str], raw: bytes) -> None:
    """Send presence to one address (RFC 6121 section 4.6), ignored if unknown (section 8.5)."""
    jid = session.domain.address(to)
    if not jid.local:
        return
    if kind is None:
        if len(session.directed) < session.domain.limits.directed:
            session.directed.add(jid.full)
    else:
        session.directed.discard(jid.full)
    target = session.domain.users.get(jid.bare)
    if session.user.blocks(jid.bare) or (target is not None and target.blocks(session.user.jid)):
        return
    targets = _at(session, jid.full)
    if targets:
        data = session.domain.stamped("presence", session, attrs, raw)
        for other in targets:
            other.transport.write(data)


def _probe(session: Session, to: str) -> None:
    """Answer a probe. Clients may send one; without a subscription they learn nothing else."""
    jid = session.domain.address(to)
    contact = session.user.contacts.get(jid.bare)
    if jid.bare == session.user.jid or (contact is not None and contact.to):
        _show(session, jid.bare)
    else:
        session.transport.write(presence("unsubscribed", from_=jid.bare, to=session.user.jid))


def _show(session: Session, address: str) -> None:
    user = session.domain.users.get(address)
    if user is not None and (user.blocks(session.user.jid) or session.user.blocks(address)):
        return
    for source in user.available if user is not None else ():
        if source.presence is not None:
            session.transport.write(addressed(source.presence, session.user.jid))
