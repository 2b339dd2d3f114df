"""Data that clients store on the server: a vCard (XEP-0054), and private data (XEP-0049)."""

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
    """Return a user's vCard; an empty one if there is none."""
    kept = user.kept
    return (kept.vcard if kept is not None else "") or f"<vCard xmlns='{ns.VCARD}'/>"


def set_vcard(session: Session, child: Element) -> str:
    """Store the user's vCard."""
    kept = session.user.keep()
    text = serialise(child, inherit=False)
    _replace(session.domain, kept.vcard, text)
    kept.vcard = text
    return ""


def private(session: Session, query: Element) -> str:
    """Return the data that a client has stored under the requested tag."""
    refuse_if(len(query) != 1, "bad-request")
    kept = session.user.kept
    stored = kept.private.get(query[0].tag) if kept is not None else None
    shown = stored if stored is not None else serialise(query[0], ns.PRIVATE, inherit=False)
    return f"<query xmlns='{ns.PRIVATE}'>{shown}</query>"


def set_private(session: Session, query: Element) -> str:
    """Store data under its tags."""
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
