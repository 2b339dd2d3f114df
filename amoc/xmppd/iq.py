"""Requests (RFC 6120 section 8.2.3): forwarded to the client they name, or answered by the server.

The server answers for itself and for the sender's own account. A request it does not know is
``service-unavailable``; one in a namespace it knows, but with a content it does not serve, is
``feature-not-implemented``. Another user's account answers nothing, so that no client learns which
accounts exist.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Final
from xml.etree.ElementTree import Element

from amoc.xmpp.wire.elements import iq_result
from amoc.xmpp.wire.framing import tree
from amoc.xmpp.wire.namespaces import (
    NS_DISCO_INFO,
    NS_DISCO_ITEMS,
    NS_PING,
    NS_REGISTER,
    NS_ROSTER,
    NS_SESSION,
    NS_VERSION,
)
from amoc.xmppd import registration, roster_iq
from amoc.xmppd.answers import StanzaFailure

if TYPE_CHECKING:
    from amoc.xmppd.session import Session

Handler = Callable[["Session", Element], str]


def handle(session: Session, attrs: dict[str, str], raw: bytes) -> None:
    """Take one iq stanza of a bound client."""
    kind = attrs.get("type")
    to = attrs.get("to")
    is_request = kind in ("get", "set")
    try:
        if attrs.get("id") is None or not (is_request or kind in ("result", "error")):
            raise StanzaFailure("bad-request")
        # Without a "to" it is meant for the sender's own account (RFC 6120 section 10.3.3).
        address = session.user.jid if to is None else session.domain.address(to).full
        target = session.domain.sessions.get(address)
        if target is not None:
            target.transport.write(session.domain.stamped("iq", session, attrs, raw))
        elif address not in (session.domain.name, session.user.jid):
            raise StanzaFailure("service-unavailable")
        elif is_request:
            _answer(session, attrs, raw, for_server=address == session.domain.name)
    except StanzaFailure as failure:
        # An answer to an answer would never end (RFC 6120 section 8.3.1).
        if kind not in ("result", "error"):
            session.refuse("iq", failure.condition, attrs)


def _answer(session: Session, attrs: dict[str, str], raw: bytes, *, for_server: bool) -> None:
    children = list(tree(session.framer.root, raw))
    if len(children) != 1:
        raise StanzaFailure("bad-request")
    child = children[0]
    handler = _HANDLERS.get((attrs["type"], child.tag))
    if handler is _account_info and for_server:
        handler = _server_info
    if handler is None:
        namespace = child.tag[1:].rpartition("}")[0]
        known = namespace in _NAMESPACES
        raise StanzaFailure("feature-not-implemented" if known else "service-unavailable")
    payload = handler(session, child)
    session.transport.write(
        iq_result(to=session.jid, from_=attrs.get("to"), id_=attrs["id"], payload=payload)
    )
    if session.user.removed:
        for other in list(session.user.sessions.values()):
            other.fail("not-authorized", "the account was removed")


def _nothing(_session: Session, _child: Element) -> str:
    return ""


def _info(category: str, kind: str, features: tuple[str, ...]) -> str:
    listed = "".join(f"<feature var='{feature}'/>" for feature in features)
    identity = f"<identity category='{category}' type='{kind}' name='amoc xmppd'/>"
    return f"<query xmlns='{NS_DISCO_INFO}'>{identity}{listed}</query>"


def _server_info(_session: Session, child: Element) -> str:
    return _without_node(child, _info("server", "im", _FEATURES))


def _account_info(_session: Session, child: Element) -> str:
    return _without_node(child, _info("account", "registered", (NS_DISCO_INFO,)))


def _disco_items(_session: Session, child: Element) -> str:
    return _without_node(child, f"<query xmlns='{NS_DISCO_ITEMS}'/>")


def _without_node(child: Element, payload: str) -> str:
    if child.get("node"):
        raise StanzaFailure("item-not-found")
    return payload


def _version(_session: Session, _child: Element) -> str:
    return f"<query xmlns='{NS_VERSION}'><name>amoc xmppd</name><version>1</version></query>"


_DISCO_INFO: Final = f"{{{NS_DISCO_INFO}}}query"
_FEATURES: Final = (NS_DISCO_INFO, NS_DISCO_ITEMS, NS_PING, NS_REGISTER, NS_ROSTER, NS_VERSION)
_NAMESPACES: Final = frozenset({*_FEATURES, NS_SESSION})
_HANDLERS: Final[dict[tuple[str, str], Handler]] = {
    ("get", _DISCO_INFO): _account_info,
    ("get", f"{{{NS_DISCO_ITEMS}}}query"): _disco_items,
    ("get", f"{{{NS_PING}}}ping"): _nothing,
    ("get", f"{{{NS_VERSION}}}query"): _version,
    ("get", roster_iq.QUERY): roster_iq.get,
    ("set", roster_iq.QUERY): roster_iq.change,
    ("get", registration.QUERY): registration.form,
    ("set", registration.QUERY): registration.change,
    ("set", f"{{{NS_SESSION}}}session"): _nothing,
}
