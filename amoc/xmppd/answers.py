"""Pure. Stanzas and stream features that the server itself writes, as bytes.

Values from a client are escaped where they are put into markup, so none can end an attribute or
open a tag.
"""

from __future__ import annotations

from typing import Final, TypeVar

from amoc.xmpp.wire import namespaces as ns
from amoc.xmpp.wire.condition import Condition
from amoc.xmpp.wire.xml_text import attributes

T = TypeVar("T")


class StanzaFailure(Condition):
    """A request that cannot be fulfilled; its sender gets a stanza error (RFC 6120 section 8.3)."""


def refuse_if(wrong: object, condition: str) -> None:
    """Refuse a request with `condition` if `wrong` is true."""
    if wrong:
        raise StanzaFailure(condition)


def required(value: T | None, condition: str) -> T:
    """Return `value`; refuse the request with `condition` if it is None."""
    if value is None:
        raise StanzaFailure(condition)
    return value


STARTTLS_ONLY: Final = (
    f"<stream:features><starttls xmlns='{ns.TLS}'><required/></starttls></stream:features>"
).encode()
PROCEED: Final = f"<proceed xmlns='{ns.TLS}'/>".encode()


def features_before_login(mechanisms: tuple[str, ...], starttls: bool = False) -> bytes:
    """Return the stream features before login: SASL (RFC 6120 section 6.4.1) and XEP-0077.

    Args:
        mechanisms: The SASL mechanisms.
        starttls: Whether STARTTLS is offered, too.
    """
    offered = "".join(f"<mechanism>{name}</mechanism>" for name in mechanisms)
    tls = f"<starttls xmlns='{ns.TLS}'/>" if starttls else ""
    return (
        f"<stream:features>{tls}<mechanisms xmlns='{ns.SASL}'>{offered}</mechanisms>"
        f"<register xmlns='{ns.REGISTER_FEATURE}'/></stream:features>"
    ).encode()


FEATURES_AFTER_LOGIN: Final = (
    f"<stream:features><bind xmlns='{ns.BIND}'/>"
    f"<session xmlns='{ns.SESSION}'><optional/></session>"
    f"<csi xmlns='{ns.CSI}'/><sm xmlns='{ns.SM}'/></stream:features>"
).encode()


def presence(kind: str, *, from_: str, to: str) -> bytes:
    """Return a presence stanza without content, such as a subscription request."""
    return f"<presence{attributes(type=kind, from_=from_, to=to)}/>".encode()
