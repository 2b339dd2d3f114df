"""Pure. The stanzas and features that the server writes itself, as bytes.

Whatever came from a client is escaped where it is put into markup, so no value can end an attribute
or open a tag.
"""

from __future__ import annotations

from typing import Final

from amoc.xmpp.wire import namespaces as ns
from amoc.xmpp.wire.condition import Condition
from amoc.xmpp.wire.xml_text import attributes


class StanzaFailure(Condition):
    """One request cannot be fulfilled; its sender gets a stanza error (RFC 6120 section 8.3)."""


def refuse_if(wrong: object, condition: str) -> None:
    """Refuse a request with `condition` where something is wrong with it."""
    if wrong:
        raise StanzaFailure(condition)


STARTTLS_ONLY: Final = (
    f"<stream:features><starttls xmlns='{ns.TLS}'><required/></starttls></stream:features>"
).encode()
PROCEED: Final = f"<proceed xmlns='{ns.TLS}'/>".encode()


def features_before_login(mechanisms: tuple[str, ...], starttls: bool = False) -> bytes:
    """What a client may do before it has logged in: SASL (RFC 6120 section 6.4.1), XEP-0077.

    Args:
        mechanisms: Those of SASL.
        starttls: Whether it may also go on over TLS.
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
    """A presence stanza without content, such as a subscription request."""
    return f"<presence{attributes(type=kind, from_=from_, to=to)}/>".encode()
