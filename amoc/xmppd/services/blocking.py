"""Blocked addresses (XEP-0191): no stanzas pass between them and the user."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Final
from xml.etree.ElementTree import Element

from amoc.xmpp.wire import namespaces as ns
from amoc.xmpp.wire.xml_text import attributes
from amoc.xmppd import contacts
from amoc.xmppd.answers import refuse_if
from amoc.xmppd.jids import Jid
from amoc.xmppd.services.service import named

if TYPE_CHECKING:
    from amoc.xmppd.routing import User
    from amoc.xmppd.session import Session

LIST: Final = f"{{{ns.BLOCKING}}}blocklist"
BLOCK: Final = f"{{{ns.BLOCKING}}}block"
UNBLOCK: Final = f"{{{ns.BLOCKING}}}unblock"
_ITEM: Final = f"{{{ns.BLOCKING}}}item"


def is_blocked(user: User | None, jid: Jid) -> bool:
    """Return whether `user` has blocked an address, its bare address or its domain."""
    if user is None or user.kept is None or not user.kept.blocked:
        return False
    return not user.kept.blocked.isdisjoint((jid.full, jid.bare, jid.domain))


def check(sender: User, recipient: User | None, to: Jid) -> None:
    """Check that a stanza may pass from one user to another.

    Raises:
        StanzaFailure: One of them has blocked the other (section 3.2).
    """
    refuse_if(is_blocked(sender, to), "not-acceptable")
    if recipient is not None:
        refuse_if(is_blocked(recipient, named(sender.jid)), "service-unavailable")


def listed(session: Session, _child: Element) -> str:
    """Return all addresses that the user has blocked."""
    kept = session.user.kept
    return f"<blocklist xmlns='{ns.BLOCKING}'>{_items(kept.blocked if kept else ())}</blocklist>"


def block(session: Session, child: Element) -> str:
    """Block more addresses; those who see the user's presence see it leave (section 3.3)."""
    jids = _named(child)
    refuse_if(not jids, "bad-request")
    user = session.user
    blocked = user.keep().blocked
    refuse_if(len(blocked | set(jids)) > session.domain.limits.blocked, "resource-constraint")
    fresh = [jid for jid in jids if jid not in blocked]
    _tell(session, fresh, contacts.hide)
    blocked.update(fresh)
    _changed(session, "block", jids)
    return ""


def unblock(session: Session, child: Element) -> str:
    """Unblock some addresses, or all (section 3.5)."""
    jids = _named(child)
    user = session.user
    blocked = user.keep().blocked
    gone = [jid for jid in jids or sorted(blocked) if jid in blocked]
    blocked.difference_update(gone)
    _tell(session, gone, contacts.show)
    _changed(session, "unblock", jids)
    return ""


def _tell(session: Session, jids: list[str], tell: Callable[[User, User], None]) -> None:
    """Show or hide the user to those of `jids` that see its presence."""
    known, users = session.user.contacts, session.domain.users
    for jid in jids:
        if jid in known and known[jid].from_ and jid in users:
            tell(session.user, users[jid])


def _named(child: Element) -> list[str]:
    return [named(item.get("jid")).full for item in child.iterfind(_ITEM)]


def _changed(session: Session, name: str, jids: list[str]) -> None:
    session.user.update_special()
    for other in session.user.sessions.values():
        if other is not session:
            other.push(f"<{name} xmlns='{ns.BLOCKING}'>{_items(jids)}</{name}>")


def _items(jids: object) -> str:
    return "".join(f"<item{attributes(jid=jid)}/>" for jid in sorted(jids))  # type: ignore[call-overload]
