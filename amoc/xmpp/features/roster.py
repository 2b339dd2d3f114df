"""Pure. Roster requests and results (RFC 6121 section 2)."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Final, NamedTuple
from xml.etree.ElementTree import Element

from amoc.xmpp.wire import namespaces as ns
from amoc.xmpp.wire.xml_text import attributes, escape

GET: Final = f"<query xmlns='{ns.ROSTER}'/>"


class Contact(NamedTuple):
    """One item of a roster."""

    jid: str
    name: str
    """Empty when the user set none."""
    subscription: str
    """``none``, ``to`` (the user sees their presence), ``from`` (the reverse) or ``both``."""
    pending: bool
    """Whether the user's subscription request awaits an answer."""
    groups: tuple[str, ...]


def contacts(iq: Element) -> dict[str, Contact]:
    """Return the contacts in a roster result or push, by JID."""
    found = {}
    for item in iq.iterfind(f"{{{ns.ROSTER}}}query/{{{ns.ROSTER}}}item"):
        jid = item.get("jid", "")
        found[jid] = Contact(
            jid=jid,
            name=item.get("name", ""),
            subscription=item.get("subscription", "none"),
            pending=item.get("ask") == "subscribe",
            groups=tuple(group.text or "" for group in item.iterfind(f"{{{ns.ROSTER}}}group")),
        )
    return found


def put(jid: str, name: str | None, groups: Iterable[str]) -> str:
    """Return the payload that adds or changes a contact."""
    inside = "".join(f"<group>{escape(group)}</group>" for group in groups)
    head = attributes(jid=jid, name=name)
    return f"<query xmlns='{ns.ROSTER}'><item{head}>{inside}</item></query>"


def remove(jid: str) -> str:
    """Return the payload that removes a contact."""
    return f"<query xmlns='{ns.ROSTER}'><item jid='{escape(jid)}' subscription='remove'/></query>"
