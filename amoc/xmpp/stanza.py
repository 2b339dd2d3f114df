"""Received stanzas: a light element tree, with slixmpp's stanza object made on demand.

Most stanzas of a load test are counted and discarded. So a received stanza is a tree built by C
code, with properties for what most scenarios read. `Stanza.stanza` wraps the tree in slixmpp's
stanza class, with everything that its plugins provide, and ``stanza["…"]`` reads its interfaces.
"""

from __future__ import annotations

import atexit
from typing import TYPE_CHECKING, Any, Final
from xml.etree.ElementTree import Element

from amoc.base.errors import ScenarioError
from amoc.xmpp.slixmpp.stanza_classes import to_slixmpp
from amoc.xmpp.wire import namespaces as ns
from amoc.xmpp.wire.elements import conditions_of
from amoc.xmpp.wire.namespaces import MESSAGE, PRESENCE
from amoc.xmpp.wire.parser import Violation
from amoc.xmpp.wire.parsers import Parsers, TreeParser
from amoc.xmpp.wire.whole_elements import WholeElements
from amoc.xmpp.wire.xml_text import serialise

if TYPE_CHECKING:
    from slixmpp.xmlstream import StanzaBase

MAX_DEPTH: Final = 100
"""Maximum nesting of elements in a stanza, the stanza itself included."""
_whole = WholeElements(MAX_DEPTH)
read_whole: Final = _whole.read
PARSERS: Final = Parsers(TreeParser, MAX_DEPTH, read_whole)
"""Shared by all clients of this process."""
# CPython 3.12 crashes at exit if a parser of ElementTree is still alive.
atexit.register(_whole.close)

MIN_ELEMENT_BYTES: Final = 50
"""Memory that an element takes at least, in bytes."""
BODY: Final = f"{{{ns.CLIENT}}}body"
ERROR: Final = f"{{{ns.CLIENT}}}error"


Raw = str | bytes | bytearray | memoryview
"""Raw XML."""


class Stanza:
    """One top-level element of a stream: a message, a presence, an iq, or any other.

    Attributes:
        tag: Namespace and name in ElementTree's notation, ``{jabber:client}message``.
        type: Its type attribute; ``normal`` and ``available`` where RFC 6121 lets it be left out.
        id: Its id; empty when it has none.
        sender: Its sender, usually a full JID; empty when the server omitted it.
        body: A message's text; None when it has no body.
        received_ns: When its last byte was read from the socket, on the monotonic clock; 0 for a
            stanza that is being sent.
        raw: The text of a plain chat message (`amoc.xmpp.pattern_reader`), from which the tree is
            parsed on demand; None for any other stanza.
    """

    __slots__ = ("_stanza", "_xml", "body", "id", "raw", "received_ns", "sender", "tag", "type")

    def __init__(self, xml: Element, received_ns: int = 0) -> None:
        self._xml: Element | None = xml
        self.tag = xml.tag
        get = xml.get
        kind = get("type")
        self.type: str = _DEFAULT_TYPES.get(self.tag, "") if kind is None else kind
        self.id: str = get("id", "")
        self.sender: str = get("from", "")
        body = xml.find(BODY)
        self.body = None if body is None else body.text or ""
        self.received_ns = received_ns
        self.raw: str | None = None
        self._stanza: StanzaBase | None = None

    @classmethod
    def of(cls, text: Raw) -> Stanza:
        """Return the stanza in `text`.

        Raises:
            ScenarioError: `text` is not exactly one well-formed element.
        """
        return cls(parse(text))

    @property
    def xml(self) -> Element:
        """The element tree; do not change it, as it may be shared."""
        if self._xml is None:
            assert self.raw is not None
            self._xml = parse(self.raw)
        return self._xml

    @property
    def name(self) -> str:
        """Its name without the namespace: ``message``, ``presence`` or ``iq``."""
        return self.tag.rpartition("}")[2]

    def size(self) -> int:
        """Return its approximate size as text, in bytes; it takes at least that much memory."""
        return sum(
            MIN_ELEMENT_BYTES
            + len(one.text or "")
            + len(one.tail or "")
            + sum(len(name) + len(value) for name, value in one.items())
            for one in self.xml.iter()
        )

    @property
    def to(self) -> str:
        """Its recipient; empty when omitted."""
        return self.xml.get("to", "")

    @property
    def payload(self) -> Element | None:
        """Its first child element, which in an iq is the request or the answer itself."""
        return self.xml[0] if len(self.xml) else None

    @property
    def error(self) -> tuple[str, str, str] | None:
        """Condition, kind and text of its error (RFC 6120 section 8.3); None without one."""
        return error_of(self.xml) if self.type == "error" else None

    @property
    def stanza(self) -> StanzaBase:
        """Slixmpp's Message, Presence or Iq around the same tree, created on first use.

        Raises:
            ScenarioError: slixmpp has no class for such an element.
        """
        if self._stanza is None:
            self._stanza = to_slixmpp(self.xml)
        return self._stanza

    def __getitem__(self, interface: str) -> Any:  # Any: depends on the plugins of slixmpp
        return self.stanza[interface]

    def __str__(self) -> str:
        return serialise(self.xml)

    def __repr__(self) -> str:
        kind = self.type
        sender = self.sender
        return f"<{self.name}{' ' + kind if kind else ''}{' from ' + sender if sender else ''}>"


_DEFAULT_TYPES: Final = {MESSAGE: "normal", PRESENCE: "available"}


def error_of(xml: Element) -> tuple[str, str, str]:
    """Return condition, kind and text of a stanza's error; ``undefined-condition`` by default."""
    error = xml.find(ERROR)
    if error is None:
        return "undefined-condition", "", ""
    condition, text = conditions_of(error, ns.STANZA_ERRORS)
    return condition, error.get("type", ""), text


def parse(text: Raw) -> Element:
    """Return the one element in `text`, parsed as if it were in a client's stream.

    Raises:
        ScenarioError: It is not exactly one well-formed element, or contains what XMPP forbids.
    """
    try:
        return PARSERS.read(text.encode() if isinstance(text, str) else bytes(text))
    except Violation as violation:
        raise ScenarioError(
            f"raw XML must be one well-formed element that XMPP allows, got {violation}"
        ) from None


def bare(jid: str) -> str:
    """Return `jid` without its resource."""
    return jid.partition("/")[0]
