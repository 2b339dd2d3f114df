"""What clients store with the server: a card (XEP-0054), and private data (XEP-0049)."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final
from xml.etree.ElementTree import Element

from amoc.xmpp.wire import namespaces as ns
from amoc.xmpp.wire.xml_text import serialise
from amoc.xmppd.answers import StanzaFailure, refuse_if

if TYPE_CHECKING:
    from amoc.xmppd.routing import Domain, User
    from amoc.xmppd.session import Session

VCARD: Final = f"{{{ns.VCARD}}}vCard"
PRIVATE: Final = f"{{{ns.PRIVATE}}}query"


def vcard(user: User) -> str:
    """A user's card; of one that has none, an empty one."""
    kept = user.kept
    return (kept.vcard if kept is not None else "") or f"<vCard xmlns='{ns.VCARD}'/>"


def set_vcard(session: Session, child: Element) -> str:
    """Store the user's card."""
    kept = session.user.keep()
    text = serialise(child, inherit=False)
    _replace(session.domain, kept.vcard, text)
    kept.vcard = text
    return ""


def private(session: Session, query: Element) -> str:
    """What a client has stored under the tag that it asks for."""
    refuse_if(len(query) != 1, "bad-request")
    kept = session.user.kept
    stored = kept.private.get(query[0].tag) if kept is not None else None
    shown = stored if stored is not None else serialise(query[0], ns.PRIVATE, inherit=False)
    return f"<query xmlns='{ns.PRIVATE}'>{shown}</query>"


def set_private(session: Session, query: Element) -> str:
    """Store data by tag."""
    if not len(query) or any(not child.tag.startswith("{") for child in query):
        raise StanzaFailure("not-acceptable")
    kept = session.user.keep()
    for child in query:
        text = serialise(child, ns.PRIVATE, inherit=False)
        if child.tag not in kept.private and len(kept.private) >= session.domain.limits.private:
            raise StanzaFailure("resource-constraint")
        _replace(session.domain, kept.private.get(child.tag, ""), text)
        kept.private[child.tag] = text
    return ""


def _replace(domain: Domain, old: str, new: str) -> None:
    domain.budget.take(len(new))
    if old:
        domain.budget.give_back(len(old))
