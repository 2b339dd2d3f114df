"""Pure. The stanzas and features that the server writes itself, as bytes.

Whatever came from a client is escaped where it is put into markup, so no value can end an attribute
or open a tag.
"""

from __future__ import annotations

from typing import Final

from amoc.base.errors import PeerError
from amoc.xmpp.wire.namespaces import (
    NS_BIND,
    NS_REGISTER_FEATURE,
    NS_SASL,
    NS_SESSION,
    NS_STANZA_ERRORS,
)
from amoc.xmpp.wire.xml_text import attributes

# RFC 6120 section 8.3.3: the error type that goes with each condition used here.
_ERROR_TYPES: Final = {
    "bad-request": "modify",
    "conflict": "cancel",
    "feature-not-implemented": "cancel",
    "forbidden": "auth",
    "item-not-found": "cancel",
    "jid-malformed": "modify",
    "not-acceptable": "modify",
    "not-allowed": "cancel",
    "not-authorized": "auth",
    "remote-server-not-found": "cancel",
    "resource-constraint": "wait",
    "service-unavailable": "cancel",
}


class StanzaFailure(PeerError):
    """One request cannot be fulfilled; its sender gets a stanza error (RFC 6120 section 8.3).

    Attributes:
        condition: The defined condition, such as ``service-unavailable``.
    """

    def __init__(self, condition: str) -> None:
        super().__init__(condition)
        self.condition = condition


def features_before_login(mechanisms: tuple[str, ...]) -> bytes:
    """What a client may do before it has logged in: SASL (RFC 6120 section 6.4.1), XEP-0077."""
    offered = "".join(f"<mechanism>{name}</mechanism>" for name in mechanisms)
    return (
        f"<stream:features><mechanisms xmlns='{NS_SASL}'>{offered}</mechanisms>"
        f"<register xmlns='{NS_REGISTER_FEATURE}'/></stream:features>"
    ).encode()


FEATURES_AFTER_LOGIN: Final = (
    f"<stream:features><bind xmlns='{NS_BIND}'/>"
    f"<session xmlns='{NS_SESSION}'><optional/></session></stream:features>"
).encode()


def stanza_error(
    kind: str, condition: str, *, to: str | None, from_: str | None, id_: str | None
) -> bytes:
    """An error answer to a stanza (RFC 6120 section 8.3).

    Args:
        kind: The stanza's element name: message, presence or iq.
        condition: The defined condition; it decides the error's type.
        to: Who sent the stanza.
        from_: Whom the stanza was meant for; None when the server itself was addressed.
        id_: The stanza's id, if it had one.
    """
    head = attributes(from_=from_, to=to, id=id_)
    return (
        f"<{kind} type='error'{head}><error type='{_ERROR_TYPES[condition]}'>"
        f"<{condition} xmlns='{NS_STANZA_ERRORS}'/></error></{kind}>"
    ).encode()


def iq_result(*, to: str | None, from_: str | None, id_: str, payload: str = "") -> bytes:
    """The answer to an iq that was fulfilled (RFC 6120 section 8.2.3); `payload` is markup."""
    head = attributes(from_=from_, to=to, id=id_)
    body = f">{payload}</iq>" if payload else "/>"
    return f"<iq type='result'{head}{body}".encode()


def presence(kind: str, *, from_: str, to: str) -> bytes:
    """A presence stanza without content, such as a subscription request."""
    return f"<presence{attributes(type=kind, from_=from_, to=to)}/>".encode()
