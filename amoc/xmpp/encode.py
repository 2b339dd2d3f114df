"""Encoding of what a client sends: functions from a scenario's arguments to bytes.

Messages and presences are written directly, because a load test sends them by the million. Stanzas
that a scenario has built itself, with slixmpp or ElementTree, are serialised; raw XML is sent as
is.
"""

from __future__ import annotations

from functools import lru_cache
from typing import Final, Protocol
from xml.etree.ElementTree import Element

from amoc.base.errors import ScenarioError
from amoc.xmpp import options
from amoc.xmpp.connection.identity import address
from amoc.xmpp.stanza import Raw, parse
from amoc.xmpp.wire.namespaces import IQ
from amoc.xmpp.wire.xml_text import attributes, escape, serialise

_PRESENCES: Final = frozenset(
    ("unavailable", "subscribe", "subscribed", "unsubscribe", "unsubscribed", "probe")
)
_SHOWS: Final = frozenset(("away", "chat", "dnd", "xa"))
_MESSAGE_STARTS: Final = (b"<message ", b"<message>", b"<message/", b"<message\n", b"<message\t")


class HasTree(Protocol):
    """A slixmpp stanza, or a received one: a wrapper of an element tree."""

    @property
    def xml(self) -> Element:
        """The tree."""


Sendable = Raw | Element | HasTree
"""Anything that a scenario can send as a stanza."""


def outgoing(stanza: Sendable) -> tuple[bytes, bool]:
    """Return a stanza as bytes, and whether it counts as a message (errors do not).

    Raises:
        ScenarioError: It is not a stanza, or holds a character that XML cannot carry.
    """
    if isinstance(stanza, Raw):
        data = stanza.encode() if isinstance(stanza, str) else bytes(stanza)
        return data, data.lstrip().startswith(_MESSAGE_STARTS)
    element = element_of(stanza)
    counts = element.tag.rpartition("}")[2] == "message" and element.get("type") != "error"
    return serialise(element).encode(), counts


def element_of(stanza: Sendable) -> Element:
    """Return the element tree of a slixmpp stanza, a received stanza, an element, or raw XML.

    Raises:
        ScenarioError: `stanza` is none of these.
    """
    if isinstance(stanza, Raw):
        return parse(stanza)
    xml = stanza if isinstance(stanza, Element) else getattr(stanza, "xml", None)
    if isinstance(xml, Element):
        return xml
    raise ScenarioError(
        f"a stanza must be slixmpp's, an element, text or bytes, got {type(stanza).__name__}"
    )


def message(to: str | int, body: str | None, kind: str, payload: str) -> tuple[str, str]:
    """Return a message without its id: the part before it, and the part after it.

    Args:
        to: A JID, or a user's number.
        body: Its text, if any.
        kind: Its type.
        payload: Raw XML next to the body.

    Raises:
        ScenarioError: `body` or `to` holds a character that XML cannot carry.
    """
    text = "" if body is None else f"<body>{escape(body)}</body>"
    if payload and not payload.isascii():
        payload.encode()  # raises if it contains what cannot be sent
    return message_tag(to, kind) + " id='", f"'>{text}{payload}</message>"


def message_tag(to: str | int, kind: str) -> str:
    """Return a message's unfinished start tag, so that more attributes can follow.

    Raises:
        ScenarioError: `to` or `kind` holds a character that XML cannot carry.
    """
    return _message_tag(to, kind, options.xmpp_username.get(), options.xmpp_domain.get())


@lru_cache(maxsize=65_536)
def _message_tag(to: str | int, kind: str, *_settings: str) -> str:
    return f"<message to='{escape(address(to))}' type='{escape(kind)}'"


def presence(
    to: str | int | None,
    kind: str | None,
    show: str | None,
    status: str | None,
    priority: int | None,
    payload: str = "",
    stanza_id: str | None = None,
) -> bytes:
    """Return a presence (RFC 6121 section 4.7), with raw XML as its payload.

    Raises:
        ScenarioError: A value is not allowed by the RFC.
    """
    for name, value, allowed in (("type", kind, _PRESENCES), ("show", show, _SHOWS)):
        if value is not None and value not in allowed:
            raise ScenarioError(
                f"a presence's {name} must be one of {', '.join(sorted(allowed))}, got {value!r}"
            )
    if priority is not None and not -128 <= priority <= 127:
        raise ScenarioError(f"a presence's priority must be from -128 to 127, got {priority}")
    recipient = None if to is None else address(to)
    start = "<presence" + attributes(to=recipient, type=kind, id=stanza_id)
    inside = "" if show is None else f"<show>{show}</show>"
    if status is not None:
        inside += f"<status>{escape(status)}</status>"
    if priority is not None:
        inside += f"<priority>{priority}</priority>"
    inside += payload
    return (f"{start}>{inside}</presence>" if inside else f"{start}/>").encode()


def iq(stanza: Sendable, to: str | int | None, kind: str, new_id: str) -> Element:
    """Return a request iq.

    Args:
        stanza: A whole iq, or its payload alone: slixmpp's, an element, or raw XML.
        to: The recipient of a payload: a JID, a user's number, or None.
        kind: ``get`` or ``set``, for a payload.
        new_id: An id for an iq that has none.

    Raises:
        ScenarioError: It is not a request, or not XML.
    """
    element = element_of(stanza)
    if element.tag not in (IQ, "iq"):
        payload, element = element, Element(IQ, {"type": kind})
        if to is not None:
            element.set("to", address(to))
        element.append(payload)
    if element.get("type") not in ("get", "set"):
        raise ScenarioError(
            f"a request must be an iq of type get or set, got type {element.get('type')!r}"
        )
    if element.get("id") in (None, "", "0"):  # slixmpp's default without a stream is 0
        element.set("id", new_id)
    return element
