"""Streams that record what they read, with parsers of all kinds."""

from __future__ import annotations

from collections.abc import Callable
from itertools import pairwise
from typing import Any
from xml.etree.ElementTree import Element

from hypothesis import strategies as st

from amoc.xmpp.wire.framing import Framer
from amoc.xmpp.wire.parser import Violation
from amoc.xmpp.wire.parsers import CutParser, Parsers, TreeParser
from amoc.xmpp.wire.whole_elements import WholeElements
from amoc.xmpp.wire.xml_text import serialise

MAX_DEPTH = 20
HEADER = (
    b"<?xml version='1.0'?><stream:stream to='localhost' version='1.0' xmlns='jabber:client'"
    b" xmlns:stream='http://etherx.jabber.org/streams' xml:lang='en'>"
)
UNUSUAL = (
    b'<s:stream xmlns="urn:odd" xmlns:c="jabber:client" xmlns:s="http://etherx.jabber.org/streams"'
    b' id=">" version="1.0">'
)
WHOLE = "tree, whole elements at once"
KINDS: dict[str, Callable[[], Parsers[Any]]] = {
    "tree": lambda: Parsers(TreeParser, MAX_DEPTH),
    WHOLE: lambda: Parsers(TreeParser, MAX_DEPTH, WholeElements(MAX_DEPTH).read),
    "cut": lambda: Parsers(CutParser, MAX_DEPTH),
}
CUTS = st.lists(st.integers(min_value=0, max_value=10_000), max_size=30)


def parsers(kind: str) -> Parsers[Any]:
    return KINDS[kind]()


class Recorder:
    """The reader of a stream, which records everything it is given."""

    def __init__(self, lend: Parsers[Any], max_bytes: int = 1 << 20) -> None:
        self.framer: Framer[Any] = Framer(lend, max_bytes)
        self.headers: list[dict[str, str]] = []
        self.elements: list[Any] = []
        self.condition = ""
        self.ends = 0
        self.restart_after = ""

    def on_header(self, attrs: dict[str, str]) -> None:
        self.headers.append(attrs)

    def on_element(self, element: Any) -> None:
        self.elements.append(element)
        if self.restart_after and self.tags[-1] == self.restart_after:
            self.framer.restart()

    def on_close(self) -> None:
        self.ends += 1

    def feed(self, *chunks: bytes) -> None:
        for chunk in chunks:
            try:
                self.framer.feed(chunk, self)
            except Violation as violation:
                assert not self.condition
                self.condition = violation.condition
                self.text = violation.text

    @property
    def tags(self) -> list[str]:
        return [e.tag if isinstance(e, Element) else e[0] for e in self.elements]

    @property
    def texts(self) -> list[Any]:
        """What it was given, in a form that can be compared."""
        return [serialise(e, inherit=False) if isinstance(e, Element) else e for e in self.elements]

    @property
    def outcome(self) -> tuple[Any, ...]:
        return self.headers, self.texts, self.condition, self.ends


def fed(kind: str, *chunks: bytes, max_bytes: int = 1 << 20) -> Recorder:
    stream = Recorder(parsers(kind), max_bytes)
    stream.feed(*chunks)
    return stream


def cut(data: bytes, places: list[int]) -> list[bytes]:
    edges = [0, *sorted({place % (len(data) + 1) for place in places}), len(data)]
    return [data[begin:end] for begin, end in pairwise(edges) if begin < end]


def in_pieces(data: bytes, size: int) -> list[bytes]:
    return [data[at : at + size] for at in range(0, len(data), size)]


def same(a: Element, b: Element) -> bool:
    """Return whether two trees are equivalent."""
    return (
        a.tag == b.tag
        and a.attrib == b.attrib
        and (a.text or "") == (b.text or "")
        and (a.tail or "") == (b.tail or "")
        and len(a) == len(b)
        and all(same(x, y) for x, y in zip(a, b, strict=True))
    )
