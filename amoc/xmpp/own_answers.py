"""What a client answers by itself, and whose answers it takes (RFC 6120 and 6121)."""

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
    """Whether an answer from `sender` answers what `asked` was asked (RFC 6120, 8.1.2.1).

    Args:
        sender: Who has answered; empty when the server left that out.
        asked: Who was asked; empty for the user's own account.
        own_jid: The full JID of the session.
    """
    if sender == asked or sender.lower() == asked.lower():
        return True
    # An iq without a recipient is for the account; servers name that in various ways.
    own = bare(own_jid)
    domain = own.rpartition("@")[2]
    mine = ("", own, own_jid, domain)
    if asked in ("", own):
        return sender in mine
    return asked == domain and not sender


def is_ping(request: Stanza) -> bool:
    """Whether it is a ping (XEP-0199)."""
    return request.payload is not None and request.payload.tag == PING


def to_request(
    request: Stanza, own_jid: str, features: Sequence[str] | None
) -> tuple[bytes | None, bool]:
    """The answer to a request that nobody else takes, and whether the inbox should keep it.

    Args:
        request: An iq of type get or set.
        own_jid: The JID of the session.
        features: What the client says it can do; None for what every client can.

    Returns:
        The answer, None for none; and whether to keep the request.
    """
    payload = request.payload
    tag = None if payload is None else payload.tag
    to, id_ = request.sender or None, request.id
    # A component answers for the address that was asked, a client for itself.
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
        # A push comes from the user's account; from others it is an attack (section 2.1.6).
        if to is not None and bare(to) != bare(own_jid):
            return None, False
        return iq_result(to=to, from_=from_, id_=id_), True
    return stanza_error("iq", "service-unavailable", to=to, from_=from_, id_=id_), False
