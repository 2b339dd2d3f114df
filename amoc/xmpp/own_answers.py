"""Automatic answers of a client, and the check of who may answer a request (RFC 6120, 6121)."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from amoc.xmpp.stanza import Stanza, bare
from amoc.xmpp.wire import disco
from amoc.xmpp.wire import namespaces as ns
from amoc.xmpp.wire.elements import iq_result, stanza_error

DISCO_INFO: Final = f"{{{ns.DISCO_INFO}}}query"
DISCO_ITEMS: Final = f"{{{ns.DISCO_ITEMS}}}query"
PING: Final = f"{{{ns.PING}}}ping"
ROSTER: Final = f"{{{ns.ROSTER}}}query"


def is_from(sender: str, asked: str, own_jid: str) -> bool:
    """Return whether an answer from `sender` answers a request to `asked` (RFC 6120, 8.1.2.1).

    Args:
        sender: Sender of the answer; empty when the server omitted it.
        asked: Recipient of the request; empty for the user's own account.
        own_jid: The full JID of the session.
    """
    if sender == asked or sender.lower() == asked.lower():
        return True
    # An iq without a recipient is for the account, which servers name in various ways.
    own = bare(own_jid)
    domain = own.rpartition("@")[2]
    mine = ("", own, own_jid, domain)
    if asked in ("", own):
        return sender in mine
    return asked == domain and not sender


def is_ping(request: Stanza) -> bool:
    """Return whether `request` is a ping (XEP-0199)."""
    return request.payload is not None and request.payload.tag == PING


def to_request(
    request: Stanza, own_jid: str, features: Sequence[str] | None
) -> tuple[bytes | None, bool]:
    """Return the answer to a request that no scenario code deals with, and whether to keep it.

    Args:
        request: An iq of type get or set.
        own_jid: The JID of the session.
        features: Features that the client announces; None for the default ones.

    Returns:
        The answer, or None; and whether the inbox should keep the request.
    """
    payload = request.payload
    tag = None if payload is None else payload.tag
    to, id_ = request.sender or None, request.id
    # A component answers from the address that was asked, a client from its own.
    from_ = None if "@" in own_jid else request.to
    if payload is not None and request.type == "get":
        if tag == PING:
            return iq_result(to=to, from_=from_, id_=id_), False
        if tag in (DISCO_INFO, DISCO_ITEMS):
            node = payload.get("node")
            if tag == DISCO_ITEMS:
                answer = disco.no_items(node)
            else:
                answer = disco.answer(features or disco.DEFAULT, node)
            return iq_result(to=to, from_=from_, id_=id_, payload=answer), False
    if tag == ROSTER and request.type == "set":
        # A push must come from the user's account; from others it is an attack (section 2.1.6).
        if to is not None and bare(to) != bare(own_jid):
            return None, False
        return iq_result(to=to, from_=from_, id_=id_), True
    return stanza_error("iq", "service-unavailable", to=to, from_=from_, id_=id_), False
