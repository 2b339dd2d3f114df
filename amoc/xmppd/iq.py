"""Requests (RFC 6120 section 8.2.3): forwarded to the addressed client, or answered by the server.

The server answers for itself, for its services and for accounts. An unknown request is answered
with ``service-unavailable``; one in a known namespace with content that is not supported, with
``feature-not-implemented``. Another user's account answers only for what it has published, so that
no client learns which accounts exist.
"""

from __future__ import annotations

from datetime import UTC, datetime
from typing import TYPE_CHECKING, Final
from xml.etree.ElementTree import Element

from amoc.xmpp.wire import namespaces as ns
from amoc.xmpp.wire.elements import iq_result
from amoc.xmpp.wire.framing import tree
from amoc.xmpp.wire.xml_text import attributes
from amoc.xmppd import contacts, registration
from amoc.xmppd.answers import StanzaFailure, refuse_if, required
from amoc.xmppd.services import blocking, carbons, mam, pep, pubsub, stored
from amoc.xmppd.services.mam import Handler
from amoc.xmppd.services.pubsub_host import Host
from amoc.xmppd.services.service import (
    DISCO_INFO,
    DISCO_ITEMS,
    PING,
    disco_info,
    handler_of,
    only_child,
)

if TYPE_CHECKING:
    from amoc.xmppd.jids import Jid
    from amoc.xmppd.session import Session


def handle(session: Session, attrs: dict[str, str], raw: bytes) -> None:
    """Process an iq stanza of a bound client."""
    kind = attrs.get("type")
    to = attrs.get("to")
    domain = session.domain
    is_request = kind in ("get", "set")
    try:
        if attrs.get("id") is None or not (is_request or kind in ("result", "error")):
            raise StanzaFailure("bad-request")
        # Without a "to" it is for the sender's own account (RFC 6120 section 10.3.3).
        jid = domain.address(session.user.jid if to is None else to)
        if jid.domain != domain.name:
            domain.services[jid.domain].take(domain.incoming("iq", session, jid, attrs, raw))
            return
        blocking.check(session.user, domain.users.get(jid.bare), jid)
        target = domain.sessions.get(jid.full)
        if target is not None:
            target.transport.write(domain.stamped("iq", session, attrs, raw))
        elif jid.resource:
            raise StanzaFailure("service-unavailable")
        elif is_request:
            _answer(session, jid, attrs, raw)
        elif kind == "result" and jid.full == domain.name:
            domain.caps.answered(session, attrs["id"], raw)
    except StanzaFailure as failure:
        # Answering an answer would never end (RFC 6120 section 8.3.1).
        if kind not in ("result", "error"):
            session.refuse("iq", failure.condition, attrs)


def _answer(session: Session, to: Jid, attrs: dict[str, str], raw: bytes) -> None:
    child = only_child(tree(session.framer.root, raw))
    if to.local and to.bare != session.user.jid:
        payload = _of_another(session, to, attrs["type"], child)
    else:
        handlers = _OF_ACCOUNT if to.local else _OF_SERVER
        payload = handler_of(handlers, attrs["type"], child)(session, child)
    session.transport.write(
        iq_result(to=session.jid, from_=attrs.get("to"), id_=attrs["id"], payload=payload)
    )
    if session.user.removed:
        for other in list(session.user.sessions.values()):
            other.fail("not-authorized", "the account was removed")


def _of_another(session: Session, to: Jid, kind: str, child: Element) -> str:
    """Return what another user's account has published."""
    user = session.domain.users.get(to.bare)
    if (kind, child.tag) == ("get", stored.VCARD):
        user = required(user, "item-not-found")
        refuse_if(user.kept is None or not user.kept.vcard, "item-not-found")
        return stored.vcard(user)
    if child.tag == pubsub.REQUESTS:
        host = pep.account(session.domain, required(user, "item-not-found"))
        return pubsub.serve(host, kind, session.jid, child)
    if kind == "get" and child.tag in (DISCO_INFO, DISCO_ITEMS) and user is not None:
        host = pep.account(session.domain, user)
        if host.sees_presence(session.user.jid):
            return _account_disco(session, host, child)
    raise StanzaFailure("service-unavailable")


def _nothing(_session: Session, _child: Element) -> str:
    return ""


def _server_info(session: Session, child: Element) -> str:
    refuse_if(child.get("node"), "item-not-found")
    mam_too = mam.FEATURES if session.domain.archives.on else ()
    return disco_info([("server", "im", "amoc xmppd")], [*_FEATURES, *mam_too])


def _server_items(session: Session, child: Element) -> str:
    refuse_if(child.get("node"), "item-not-found")
    items = "".join(f"<item{attributes(jid=name)}/>" for name in session.domain.services)
    return f"<query xmlns='{ns.DISCO_ITEMS}'>{items}</query>"


def _account_disco(session: Session, host: Host, child: Element) -> str:
    if child.tag == DISCO_ITEMS:
        return pubsub.listed(host, session.jid, child)
    if child.get("node"):
        return pubsub.info(host, child, [])
    identities = [
        ("account", "registered", "amoc xmppd"),
        ("pubsub", "pep", "amoc xmppd: personal events"),
    ]
    more = mam.FEATURES if session.domain.archives.on else ()
    return pubsub.info(
        host, child, identities, *more, *pubsub.features("access-presence", "auto-create")
    )


def _own_disco(session: Session, child: Element) -> str:
    return _account_disco(session, pep.account(session.domain, session.user), child)


def _own_nodes(kind: str) -> Handler:
    return lambda session, child: pubsub.serve(
        pep.account(session.domain, session.user), kind, session.jid, child
    )


def _version(_session: Session, _child: Element) -> str:
    return f"<query xmlns='{ns.VERSION}'><name>amoc xmppd</name><version>1</version></query>"


def _time(_session: Session, _child: Element) -> str:
    now = f"{datetime.now(UTC):%Y-%m-%dT%H:%M:%SZ}"
    return f"<time xmlns='{ns.TIME}'><tzo>+00:00</tzo><utc>{now}</utc></time>"


_FEATURES: Final = (
    ns.BLOCKING, ns.CARBONS, ns.CSI, ns.DISCO_INFO, ns.DISCO_ITEMS, ns.PING, ns.PRIVATE,
    ns.REGISTER, ns.ROSTER, ns.TIME, ns.VCARD, ns.VERSION, "msgoffline",
)  # fmt: skip
# Requests that concern both the server and the account: clients send them to either.
_OF_BOTH: Final[dict[tuple[str, str], Handler]] = {
    ("get", PING): _nothing,
    ("get", f"{{{ns.VERSION}}}query"): _version,
    ("get", f"{{{ns.TIME}}}time"): _time,
    ("get", contacts.QUERY): contacts.get,
    ("set", contacts.QUERY): contacts.change,
    ("get", registration.QUERY): registration.form,
    ("set", registration.QUERY): registration.change,
    ("set", f"{{{ns.SESSION}}}session"): _nothing,
    ("set", carbons.ENABLE): carbons.enable,
    ("set", carbons.DISABLE): carbons.disable,
    ("get", blocking.LIST): blocking.listed,
    ("set", blocking.BLOCK): blocking.block,
    ("set", blocking.UNBLOCK): blocking.unblock,
    ("get", stored.VCARD): lambda session, _child: stored.vcard(session.user),
    ("set", stored.VCARD): stored.set_vcard,
    ("get", stored.PRIVATE): stored.private,
    ("set", stored.PRIVATE): stored.set_private,
}
_OF_SERVER: Final[dict[tuple[str, str], Handler]] = {
    **_OF_BOTH,
    ("get", DISCO_INFO): _server_info,
    ("get", DISCO_ITEMS): _server_items,
}
_OF_ACCOUNT: Final[dict[tuple[str, str], Handler]] = {
    **_OF_BOTH,
    ("get", DISCO_INFO): _own_disco,
    ("get", DISCO_ITEMS): _own_disco,
    ("get", pubsub.REQUESTS): _own_nodes("get"),
    ("set", pubsub.REQUESTS): _own_nodes("set"),
    ("get", pubsub.OWNER): _own_nodes("get"),
    ("set", pubsub.OWNER): _own_nodes("set"),
    **mam.HANDLERS,
}
