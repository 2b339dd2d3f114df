"""Pure. The two kinds of parsers, and pools that lend them to streams.

A parser costs 10 kB, far more than all the rest of an idle connection. Between two stanzas every
stream that declared the usual namespaces is in the same state, so such streams share a pool: a
parser is lent to one while a chunk is parsed, and stays with it only if the chunk ended inside a
stanza.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Final, Generic
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
_NO_BUILDER: Final = TreeBuilder()


class CutParser(Parser[Cut]):
    """Cuts elements out: for a server, which passes nearly all of them on as they are."""

    @staticmethod
    def head(element: Cut) -> tuple[str, dict[str, str]]:
        """Tag and attributes of an element."""
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

    def _end(self, name: str) -> None:  # noqa: ARG002 - expat has checked it
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
    """Builds elements as trees, in C: for a client, which looks into them."""

    @staticmethod
    def head(element: Element) -> tuple[str, dict[str, str]]:
        """Tag and attributes of an element."""
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
        element = self._builder.end(name)  # it checks nothing, expat did
        if depth == 1:
            self._expat.CharacterDataHandler = None
            self._builder = _NO_BUILDER
            end = self.end_element(element.text is None and not len(element))
            self._out.append((len(self._data) - end, element))


class Parsers(Generic[T]):
    """Idle parsers of one kind, to be lent to streams.

    Attributes:
        head: Tag and attributes of what they read.
        read_whole: A faster way to read bytes that are whole elements, if there is one: given them
            and how long they may be, it returns the elements, or None when only a parser can say
            what they are.
    """

    def __init__(
        self, kind: type[Parser[T]], max_depth: int, read_whole: ReadWhole[T] | None = None
    ) -> None:
        """Make an empty pool.

        Args:
            kind: `TreeParser` or `CutParser`.
            max_depth: How many elements may be open at once inside a stanza, itself included.
            read_whole: See there.
        """
        self._kind = kind
        self.read_whole = read_whole
        self.head = kind.head
        self._max_depth = max_depth
        self._idle: list[Parser[T]] = []

    def __len__(self) -> int:
        return len(self._idle)

    def read(self, data: bytes) -> T:
        """The one element that `data` is, as if it stood in a stream with the usual namespaces.

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
        raise Violation("not-well-formed", "there must be exactly one element, whole")

    def new(self) -> Parser[T]:
        """A parser that waits for a stream header."""
        return self._kind(self._max_depth)

    def inside(self, root: bytes | None) -> Parser[T]:
        """A parser that is inside the stream that the tag `root` opens; None is the usual one."""
        if root is None and self._idle:
            return self._idle.pop()
        parser = self.new()
        header = STANDARD_HEADER if root is None else root
        parser.feed(header, [], len(header))
        return parser

    def put_back(self, parser: Parser[T]) -> None:
        """Take back a parser, in whatever state; keep it if it may serve another stream."""
        idle = parser.depth == 1 and parser.pending is None and parser.root is None
        if idle and parser.fed <= WORN_BYTES and len(self._idle) < POOL_SIZE:
            self._idle.append(parser)
        else:
            parser.discard()
