"""Pure. The two kinds of parsers, and pools that lend them to streams.

A parser costs 10 kB, far more than everything else in an idle connection. Between two stanzas, all
streams that declared the usual namespaces are in the same state, so they share a pool: a parser is
lent to a stream while a chunk is parsed, and kept by it only if the chunk ended inside a stanza.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Final, Generic, TypeAlias
from xml.etree.ElementTree import Element, TreeBuilder

from amoc.xmpp.wire.parser import (
    STANDARD_HEADER,
    TAGS,
    WORN_BYTES,
    Cut,
    Parser,
    T,
    Violation,
    qualified_keys,
)

POOL_SIZE: Final = 16
ReadWhole = Callable[[bytes, int], list[T] | None]
AnyReader: TypeAlias = ReadWhole[Any]  # Any: elements, or stanzas in their place
_NO_BUILDER: Final = TreeBuilder()


class CutParser(Parser[Cut]):
    """Cuts elements out as bytes: for a server, which passes nearly all of them on unchanged."""

    @staticmethod
    def head(element: Cut) -> tuple[str, dict[str, str]]:
        """Return the tag and attributes of an element."""
        return element[0], element[1]

    def __init__(self, max_depth: int) -> None:
        super().__init__(max_depth)
        self._tag = ""
        self._attrs: dict[str, str] = {}
        self._empty = True

    def _start(self, name: str, attrs: dict[str, str]) -> None:
        depth = self.depth = self.depth + 1
        if depth > self._inspected:
            self.inspect(depth)
        if depth > 2:
            self._empty = False
        elif depth == 2:
            self._tag = self.begin_element(name)
            self._attrs = attrs
            self._empty = True
        else:
            self.open(name, attrs)

    def _end(self, name: str) -> None:  # noqa: ARG002 - checked by expat
        depth = self.depth = self.depth - 1
        if depth == 1:
            end = self.end_element(self._empty)
            data = self._data
            raw = data[self._begin - self._base : end]
            if type(raw) is not bytes:
                raw = bytes(raw)
            attrs = self._attrs
            if b":" in raw:  # a key with a namespace has a prefix
                attrs = qualified_keys(attrs)
            self._out.append((len(data) - end, (self._tag, attrs, raw)))
        elif depth == 0:
            self.close()


class TreeParser(Parser[Element]):
    """Builds elements as trees, in C: for a client, which reads their content."""

    @staticmethod
    def head(element: Element) -> tuple[str, dict[str, str]]:
        """Return the tag and attributes of an element."""
        return element.tag, element.attrib

    def __init__(self, max_depth: int) -> None:
        super().__init__(max_depth)
        self._builder = _NO_BUILDER

    def _start(self, name: str, attrs: dict[str, str]) -> None:
        depth = self.depth = self.depth + 1
        if depth > self._inspected:
            self.inspect(depth)
        if depth > 2:
            tag = TAGS[name]
        elif depth == 2:
            tag = self.begin_element(name)
            builder = self._builder = TreeBuilder()
            self._expat.CharacterDataHandler = builder.data
        else:
            self.open(name, attrs)
            return
        for key in attrs:
            if "}" in key:
                attrs = qualified_keys(attrs)
                break
        self._builder.start(tag, attrs)

    def _end(self, name: str) -> None:
        depth = self.depth = self.depth - 1
        if depth == 0:
            self.close()
        element = self._builder.end(name)  # unchecked here, expat has checked it
        if depth == 1:
            self._expat.CharacterDataHandler = None
            self._builder = _NO_BUILDER
            end = self.end_element(element.text is None and not len(element))
            self._out.append((len(self._data) - end, element))


class Parsers(Generic[T]):
    """Idle parsers of one kind, lent to streams.

    Attributes:
        head: Returns the tag and attributes of an element.
        read_whole: A faster way to read whole elements, if there is one: given their bytes and
            their maximum length, it returns the elements, or None if a parser is needed.
    """

    def __init__(
        self, kind: type[Parser[T]], max_depth: int, read_whole: ReadWhole[T] | None = None
    ) -> None:
        """Create an empty pool.

        Args:
            kind: `TreeParser` or `CutParser`.
            max_depth: Maximum number of open elements in a stanza, including the stanza.
            read_whole: See the attribute.
        """
        self._kind = kind
        self.read_whole = read_whole
        self.head = kind.head
        self._max_depth = max_depth
        self._idle: list[Parser[T]] = []

    def __len__(self) -> int:
        return len(self._idle)

    def read(self, data: bytes) -> T:
        """Return the one element in `data`, as if it were in a stream with the usual namespaces.

        Raises:
            Violation: It is not exactly one element, or XMPP forbids it.
        """
        if self.read_whole is not None:
            elements = self.read_whole(data, len(data))
            if elements is not None and len(elements) == 1:
                return elements[0]
        parser = self.inside(None)
        found: list[tuple[int, T]] = []
        try:
            whole = parser.feed(data, found, len(data))
        finally:
            self.put_back(parser)
        if whole and len(found) == 1:
            return found[0][1]
        raise Violation("not-well-formed", "there must be exactly one whole element")

    def new(self) -> Parser[T]:
        """Return a parser that expects a stream header."""
        return self._kind(self._max_depth)

    def inside(self, root: bytes | None) -> Parser[T]:
        """Return a parser inside a stream opened by the tag `root`; None for the usual header."""
        if root is None and self._idle:
            return self._idle.pop()
        parser = self.new()
        header = STANDARD_HEADER if root is None else root
        parser.feed(header, [], len(header))
        return parser

    def put_back(self, parser: Parser[T]) -> None:
        """Take back a parser in any state; keep it if it can serve another stream."""
        idle = parser.depth == 1 and parser.pending is None and parser.root is None
        if idle and parser.fed <= WORN_BYTES and len(self._idle) < POOL_SIZE:
            self._idle.append(parser)
        else:
            parser.discard()
