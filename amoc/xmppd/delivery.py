"""Messages off the usual path: to services, and to users who are offline, blocked or copied.

RFC 6121 section 8.5 defines what happens to a message without a recipient's connection: most are
stored until the user's next presence (XEP-0160), some are answered with ``service-unavailable``,
errors and headlines are dropped. Each case is counted.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from amoc.xmpp.wire.xml_text import escape
from amoc.xmppd.answers import StanzaFailure
from amoc.xmppd.jids import Jid, parse
from amoc.xmppd.rewrite import with_child
from amoc.xmppd.services import blocking, carbons, offline
from amoc.xmppd.services.archive import Entry, stanza_id, worth_archiving

if TYPE_CHECKING:
    from amoc.xmppd.routing import Domain, User
    from amoc.xmppd.session import Session

_MESSAGE_KINDS: Final = frozenset({"normal", "chat", "groupchat", "headline", "error"})
_KEPT: Final = frozenset({"normal", "chat"})
"""Types of messages that are stored for offline users, archived and copied."""


def deliver(domain: Domain, sender: Session, attrs: dict[str, str], raw: bytes) -> None:
    """Deliver a message of any type to any address, or answer it with an error."""
    counts = domain.counts
    kind = attrs.get("type", "normal")
    if kind not in _MESSAGE_KINDS:  # RFC 6121 section 5.2.2: unknown means normal
        kind = "normal"
    to = attrs.get("to")
    try:
        jid = parse(sender.user.jid) if to is None else domain.address(to)
        service = domain.services.get(jid.domain)
        if service is not None:
            service.take(domain.incoming("message", sender, jid, attrs, raw))
            return
        user = domain.users.get(jid.bare) if jid.local else None
        blocking.check(sender.user, user, jid)
        targets = _targets(domain, user, kind, jid)
        data = domain.stamped("message", sender, attrs, raw, None if to else sender.user.jid)
        if targets is None:
            offline.check(domain, jid.local, data)
            data = _archive(domain, sender, jid, data)
            offline.keep(domain, jid.local, data)
            counts.messages_kept += 1
    except StanzaFailure as failure:
        if kind == "error":
            counts.messages_dropped += 1
            return
        counts.messages_bounced += 1
        sender.refuse("message", failure.condition, attrs)
        return
    if targets is None:
        return
    if not targets:
        counts.messages_dropped += 1
        return
    if kind in _KEPT:
        data = _archive(domain, sender, jid, data)
        carbons.copy(domain, sender, targets[0].user, targets, kind, data)
    for target in targets:
        target.transport.write(data)
    counts.messages_routed += len(targets)


def to_user(domain: Domain, bare: str, stanza: bytes) -> None:
    """Deliver a message from a service to a user: now, later, or not at all."""
    user = domain.users.get(bare)
    if user is not None and user.first is not None:
        user.first.transport.write(stanza)
        domain.counts.messages_routed += 1
        return
    try:
        offline.keep(domain, bare.partition("@")[0], stanza)
        domain.counts.messages_kept += 1
    except StanzaFailure:
        domain.counts.messages_dropped += 1


def to_all(domain: Domain, bare: str, stanza: bytes) -> None:
    """Deliver a room's message to all clients of a user, or store it until one is available."""
    user = domain.users.get(bare)
    if user is not None and user.first is not None:
        domain.counts.messages_routed += user.send_to_available(stanza)
        return
    to_user(domain, bare, stanza)


def _targets(domain: Domain, user: User | None, kind: str, jid: Jid) -> list[Session] | None:
    """Return the recipients of a message; None if it must be stored for the user.

    Without recipients it is dropped silently (RFC 6121 section 8.5).

    Raises:
        StanzaFailure: It must be answered with an error, unless it is an error itself.
    """
    if jid.resource and (session := domain.sessions.get(jid.full)):
        return [session]
    if kind == "headline":
        if jid.resource or user is None:
            return []
        return [session for session in user.available if session.priority >= 0]
    # Of messages to a full address that is offline, only chats may go to another connection.
    if kind in ("groupchat", "error") or (jid.resource and kind != "chat"):
        raise StanzaFailure("service-unavailable")
    if user is not None and user.first is not None:
        return [user.first]
    return None


def _archive(domain: Domain, sender: Session, to: Jid, data: bytes) -> bytes:
    """Archive a message for both ends if they want that; return the message with its mark."""
    archives = domain.archives
    if not archives.on or not worth_archiving(data):
        return data
    moment = archives.moment(domain.now_us())
    entry = Entry(moment, sender.jid, to.full, data)
    if _wanted(sender.user, to.bare):
        archives.add(sender.user.jid, entry)
    if to.bare == sender.user.jid or not _wanted(domain.users.get(to.bare), sender.user.jid):
        return data
    archives.add(to.bare, entry)
    return with_child(data, stanza_id(moment, escape(to.bare).encode()))


def _wanted(user: User | None, peer: str) -> bool:
    if user is None or user.kept is None or user.kept.preferences is None:
        return True
    contact = user.contacts.get(peer)
    return user.kept.preferences.wants(peer, in_roster=contact is not None and contact.listed)
