"""What a client sends, as bytes: pure functions from what a scenario says to what is sent.

Messages and presences are written directly, because they are what a load test sends by the million.
What a scenario has built itself, with slixmpp or ElementTree, is serialised; raw XML goes as it is.
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
    """A stanza of slixmpp, or one that was received: something around a tree."""

    @property
    def xml(self) -> Element:
        """The tree."""


Sendable = Raw | Element | HasTree
"""Whatever a scenario may call a stanza."""


def outgoing(stanza: Sendable) -> tuple[bytes, bool]:
    """A stanza as bytes, and whether it counts as a message: one that is no error.

    Raises:
        ScenarioError: It is none, or holds a character that XML cannot carry.
    """
    if isinstance(stanza, Raw):
        data = stanza.encode() if isinstance(stanza, str) else bytes(stanza)
        return data, data.lstrip().startswith(_MESSAGE_STARTS)
    element = element_of(stanza)
    counts = element.tag.rpartition("}")[2] == "message" and element.get("type") != "error"
    return serialise(element).encode(), counts


def element_of(stanza: Sendable) -> Element:
    """The tree of a stanza: slixmpp's, a received one, a tree already, or raw XML.

    Raises:
        ScenarioError: It has none.
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
    """A message without its id: what is before it, and what is after it.

    Args:
        to: A JID, or a user's number.
        body: Its text, if any.
        kind: Its type.
        payload: Raw XML beside the body.

    Raises:
        ScenarioError: `body` or `to` holds a character that XML cannot carry.
    """
    text = "" if body is None else f"<body>{escape(body)}</body>"
    if payload and not payload.isascii():
        payload.encode()  # it may hold what cannot be sent
    return message_tag(to, kind) + " id='", f"'>{text}{payload}</message>"


def message_tag(to: str | int, kind: str) -> str:
    """A message's start tag without its end, so that more attributes may follow.

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
    """A presence (RFC 6121 section 4.7), with raw XML as its payload.

    Raises:
        ScenarioError: A value is none that the RFC allows.
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
    """An iq that asks for something.

    Args:
        stanza: A whole iq, or its payload alone: slixmpp's, an element, or raw XML.
        to: The recipient of a payload: a JID, a user's number, or None.
        kind: ``get`` or ``set``, for a payload.
        new_id: An id for an iq that has none.

    Raises:
        ScenarioError: It asks for nothing, or is no XML.
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
    if element.get("id") in (None, "", "0"):  # slixmpp gives 0 to an iq without a stream
        element.set("id", new_id)
    return element
