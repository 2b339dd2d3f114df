"""The words of the XMPP wire: namespaces, escaping, and the few texts a server writes itself.

Everything here is a pure function from values to bytes. Text that came from a client passes
through `escape()` wherever it is put into markup, so no value can end an attribute or open a tag.
"""

from __future__ import annotations

import re
from typing import Final

from amoc.base.errors import PeerError

NS_CLIENT: Final = "jabber:client"
NS_STREAMS: Final = "http://etherx.jabber.org/streams"
NS_STREAM_ERRORS: Final = "urn:ietf:params:xml:ns:xmpp-streams"
NS_STANZA_ERRORS: Final = "urn:ietf:params:xml:ns:xmpp-stanzas"
NS_SASL: Final = "urn:ietf:params:xml:ns:xmpp-sasl"
NS_BIND: Final = "urn:ietf:params:xml:ns:xmpp-bind"
NS_SESSION: Final = "urn:ietf:params:xml:ns:xmpp-session"
NS_ROSTER: Final = "jabber:iq:roster"
NS_REGISTER: Final = "jabber:iq:register"
NS_REGISTER_FEATURE: Final = "http://jabber.org/features/iq-register"
NS_PING: Final = "urn:xmpp:ping"
NS_VERSION: Final = "jabber:iq:version"
NS_DISCO_INFO: Final = "http://jabber.org/protocol/disco#info"
NS_DISCO_ITEMS: Final = "http://jabber.org/protocol/disco#items"
NS_XML: Final = "http://www.w3.org/XML/1998/namespace"

# Names as the namespace-aware parser reports them: namespace, a blank, local name.
MESSAGE: Final = f"{NS_CLIENT} message"
PRESENCE: Final = f"{NS_CLIENT} presence"
IQ: Final = f"{NS_CLIENT} iq"
STREAM: Final = f"{NS_STREAMS} stream"
LANG: Final = f"{NS_XML} lang"

STREAM_LANG: Final = "en"
"""The language of every stream this server opens; a stanza without its own is in it."""

STREAM_END: Final = b"</stream:stream>"
STANDARD_HEADER: Final = (
    f"<stream:stream xmlns='{NS_CLIENT}' xmlns:stream='{NS_STREAMS}' version='1.0'>".encode()
)
"""Declares what this server's headers declare: what is right below it may be forwarded."""

# Quotes, so that no value ends its attribute; white space, because a parser would turn it into
# blanks.
_SPECIAL = re.compile("[&<>'\"\r\n\t]")
_ESCAPES = {
    "&": "&amp;",
    "<": "&lt;",
    ">": "&gt;",
    "'": "&apos;",
    '"': "&quot;",
    "\r": "&#13;",
    "\n": "&#10;",
    "\t": "&#9;",
}

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


class StreamFailure(PeerError):
    """The client broke a rule that ends its stream (RFC 6120 section 4.9).

    Attributes:
        condition: The defined condition, such as ``not-well-formed``.
        text: One sentence for the person who reads the client's log; never a password.
    """

    def __init__(self, condition: str, text: str = "") -> None:
        super().__init__(f"{condition}: {text}" if text else condition)
        self.condition = condition
        self.text = text


class StanzaFailure(PeerError):
    """One request cannot be fulfilled; its sender gets a stanza error (RFC 6120 section 8.3).

    Attributes:
        condition: The defined condition, such as ``service-unavailable``.
    """

    def __init__(self, condition: str) -> None:
        super().__init__(condition)
        self.condition = condition


def escape(text: str) -> str:
    """`text` made safe inside an attribute, in either kind of quotes, and as character data."""
    if _SPECIAL.search(text) is None:
        return text
    return _SPECIAL.sub(lambda found: _ESCAPES[found[0]], text)


def stream_header(domain: str, stream_id: str) -> bytes:
    """The server's answer to a client's stream header (RFC 6120 section 4.7)."""
    return (
        f"<?xml version='1.0'?><stream:stream xmlns='{NS_CLIENT}' xmlns:stream='{NS_STREAMS}'"
        f" from='{escape(domain)}' id='{stream_id}' version='1.0' xml:lang='{STREAM_LANG}'>"
    ).encode()


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


def stream_error(condition: str, text: str = "") -> bytes:
    """A stream error without the closing tag that must follow it (RFC 6120 section 4.9)."""
    detail = f"<text xmlns='{NS_STREAM_ERRORS}' xml:lang='en'>{escape(text)}</text>" if text else ""
    return (
        f"<stream:error><{condition} xmlns='{NS_STREAM_ERRORS}'/>{detail}</stream:error>"
    ).encode()


def sasl_failure(condition: str) -> bytes:
    """A SASL failure (RFC 6120 section 6.5)."""
    return f"<failure xmlns='{NS_SASL}'><{condition}/></failure>".encode()


def _attribute(name: str, value: str | None) -> str:
    return "" if value is None else f" {name}='{escape(value)}'"


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
    head = _attribute("from", from_) + _attribute("to", to) + _attribute("id", id_)
    return (
        f"<{kind} type='error'{head}><error type='{_ERROR_TYPES[condition]}'>"
        f"<{condition} xmlns='{NS_STANZA_ERRORS}'/></error></{kind}>"
    ).encode()


def iq_result(*, to: str | None, from_: str | None, id_: str, payload: str = "") -> bytes:
    """The answer to an iq that was fulfilled (RFC 6120 section 8.2.3); `payload` is markup."""
    head = _attribute("from", from_) + _attribute("to", to) + _attribute("id", id_)
    body = f">{payload}</iq>" if payload else "/>"
    return f"<iq type='result'{head}{body}".encode()


def presence(kind: str | None, *, from_: str, to: str) -> bytes:
    """A presence stanza without content, such as a subscription request."""
    return (
        f"<presence{_attribute('type', kind)} from='{escape(from_)}' to='{escape(to)}'/>".encode()
    )
