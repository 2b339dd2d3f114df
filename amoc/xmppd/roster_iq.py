"""Roster requests (RFC 6121 section 2): reading the roster, or changing one contact."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Final
from xml.etree.ElementTree import Element

from amoc.xmpp.wire import namespaces as ns
from amoc.xmppd import subscriptions
from amoc.xmppd.answers import StanzaFailure, refuse_if
from amoc.xmppd.roster import Contact
from amoc.xmppd.services.service import named

if TYPE_CHECKING:
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
    subscriptions.push(session.domain, session.user, changed.as_item())


def _remove(session: Session, jid: str) -> None:
    contact = session.user.contacts.get(jid)
    if contact is None or not contact.listed:
        raise StanzaFailure("item-not-found")
    # RFC 6121 section 2.5.2: a contact is unsubscribed in both directions before it is removed.
    subscriptions.cancel(session, contact)
    session.domain.remember(session.user, Contact(jid))
    gone = replace(contact, to=False, from_=False, asking=False, name=None, groups=())
    subscriptions.push(
        session.domain,
        session.user,
        gone.as_item().replace("subscription='none'", "subscription='remove'"),
    )
