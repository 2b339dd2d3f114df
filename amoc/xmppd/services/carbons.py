"""Copies of chats for a user's other clients (XEP-0280)."""

from __future__ import annotations

from typing import TYPE_CHECKING
from xml.etree.ElementTree import Element

from amoc.xmpp.wire import namespaces as ns
from amoc.xmpp.wire.xml_text import attributes
from amoc.xmppd.services.archive import worth_archiving
from amoc.xmppd.services.mam import forwarded

if TYPE_CHECKING:
    from amoc.xmppd.routing import Domain, User
    from amoc.xmppd.session import Session

ENABLE = f"{{{ns.CARBONS}}}enable"
DISABLE = f"{{{ns.CARBONS}}}disable"


def enable(session: Session, _child: Element) -> str:
    """Enable copies for a client."""
    session.carbons = True
    session.user.update_special()
    return ""


def disable(session: Session, _child: Element) -> str:
    """Disable copies for a client."""
    session.carbons = False
    session.user.update_special()
    return ""


def copy(
    domain: Domain, sender: Session, recipient: User, targets: list[Session], kind: str, data: bytes
) -> None:
    """Copy a message for `targets` to the other clients of both users that have enabled copies."""
    if not _copied(kind, data):
        return
    for name, user in (("received", recipient), ("sent", sender.user)):
        for session in user.sessions.values():
            if session.carbons and session is not sender and session not in targets:
                head = attributes(from_=user.jid, to=session.jid, type=kind)
                session.transport.write(
                    f"<message{head}><{name} xmlns='{ns.CARBONS}'>".encode()
                    + forwarded(data)
                    + f"</{name}></message>".encode()
                )
                domain.counts.messages_routed += 1


def _copied(kind: str, data: bytes) -> bool:
    if kind != "chat" and not worth_archiving(data):
        return False
    if ns.MUC_USER.encode() in data:  # from a room, which itself sends to each client
        return False
    return not (b"<private" in data and ns.CARBONS.encode() in data)
