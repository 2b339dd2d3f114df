"""A received stanza: a light tree, and slixmpp's object of it on demand.

Most stanzas of a load test are counted and forgotten. So what arrives is a tree that C code built,
with what most scenarios read as properties; `Stanza.stanza` makes slixmpp's object of it, with all
that its plugins know, and ``stanza["…"]`` reads that one's interfaces.
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
"""How many elements may be open at once inside a stanza, itself included."""
_whole = WholeElements(MAX_DEPTH)
read_whole: Final = _whole.read
PARSERS: Final = Parsers(TreeParser, MAX_DEPTH, read_whole)
"""For all clients of this process."""
# CPython 3.12 crashes at its end if a parser of ElementTree is still there.
atexit.register(_whole.close)

MIN_ELEMENT_BYTES: Final = 50
"""What an element takes in memory, however short it is."""
BODY: Final = f"{{{ns.CLIENT}}}body"
ERROR: Final = f"{{{ns.CLIENT}}}error"


Raw = str | bytes | bytearray | memoryview
"""XML as it is."""


class Stanza:
    """One top-level element of a stream: a message, a presence, an iq, or another.

    Attributes:
        tag: Namespace and name as ElementTree spells them, ``{jabber:client}message``.
        type: Its type attribute; ``normal`` and ``available`` where RFC 6121 lets it be left out.
        id: Its id; empty when it has none.
        sender: Its sender, usually a full JID; empty when the server left that out.
        body: A message's text; None when it has no body.
        received_ns: When its last byte was read from the socket, on the monotonic clock; 0 for one
            that is sent.
        raw: The text of a chat message with nothing special in it (`amoc.xmpp.alike`), for its
            tree; None for any other stanza.
    """

    __slots__ = ("_stanza", "_xml", "body", "id", "raw", "received_ns", "sender", "tag", "type")

    def __init__(self, xml: Element, received_ns: int = 0) -> None:
        self._xml: Element | None = xml
        self.tag = xml.tag
        get = xml.get
        self.type: str = get("type") or _type_of(xml)
        self.id: str = get("id", "")
        self.sender: str = get("from", "")
        body = xml.find(BODY)
        self.body = None if body is None else body.text or ""
        self.received_ns = received_ns
        self.raw: str | None = None
        self._stanza: StanzaBase | None = None

    @classmethod
    def of(cls, text: Raw) -> Stanza:
        """The stanza that `text` is.

        Raises:
            ScenarioError: `text` is not exactly one well-formed element.
        """
        return cls(parse(text))

    @property
    def xml(self) -> Element:
        """The tree; do not change it, others may look at it too."""
        if self._xml is None:
            assert self.raw is not None
            self._xml = parse(self.raw)
        return self._xml

    @property
    def name(self) -> str:
        """``message``, ``presence``, ``iq``; the namespace is left out."""
        return self.tag.rpartition("}")[2]

    def size(self) -> int:
        """About how many bytes it takes as text, and at least that much in memory."""
        return sum(
            MIN_ELEMENT_BYTES
            + len(one.text or "")
            + len(one.tail or "")
            + sum(len(name) + len(value) for name, value in one.items())
            for one in self.xml.iter()
        )

    @property
    def to(self) -> str:
        """Its recipient; empty when that is left out."""
        return self.xml.get("to", "")

    @property
    def payload(self) -> Element | None:
        """Its first child, which in an iq is the request or the answer itself."""
        return self.xml[0] if len(self.xml) else None

    @property
    def error(self) -> tuple[str, str, str] | None:
        """Condition, kind and text of its error (RFC 6120 section 8.3); None without one."""
        return error_of(self.xml) if self.type == "error" else None

    @property
    def stanza(self) -> StanzaBase:
        """Slixmpp's Message, Presence or Iq around the same tree, made at the first use.

        Raises:
            ScenarioError: slixmpp has no class for such an element.
        """
        if self._stanza is None:
            self._stanza = to_slixmpp(self.xml)
        return self._stanza

    def __getitem__(self, interface: str) -> Any:  # it is for slixmpp's plugins to say
        return self.stanza[interface]

    def __str__(self) -> str:
        return serialise(self.xml)

    def __repr__(self) -> str:
        kind = self.type
        sender = self.sender
        return f"<{self.name}{' ' + kind if kind else ''}{' from ' + sender if sender else ''}>"


_DEFAULT_TYPES: Final = {MESSAGE: "normal", PRESENCE: "available"}


def _type_of(xml: Element) -> str:
    """Of an element that says nothing, or an empty text."""
    return _DEFAULT_TYPES.get(xml.tag, "") if xml.get("type") is None else ""


def error_of(xml: Element) -> tuple[str, str, str]:
    """Condition, kind and text of a stanza's error; ``undefined-condition`` if it names none."""
    error = xml.find(ERROR)
    if error is None:
        return "undefined-condition", "", ""
    condition, text = conditions_of(error, ns.STANZA_ERRORS)
    return condition, error.get("type", ""), text


def parse(text: Raw) -> Element:
    """The one element that `text` is, read as if it stood in a client's stream.

    Raises:
        ScenarioError: It is not exactly one well-formed element, or holds what XMPP forbids.
    """
    try:
        return PARSERS.read(text.encode() if isinstance(text, str) else bytes(text))
    except Violation as violation:
        raise ScenarioError(
            f"raw XML must be one well-formed element that XMPP allows, got {violation}"
        ) from None


def bare(jid: str) -> str:
    """`jid` without its resource."""
    return jid.partition("/")[0]
