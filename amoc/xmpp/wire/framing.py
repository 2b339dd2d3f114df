"""Pure. From bytes to elements: splits a stream as its bytes arrive.

A stream borrows a parser while it needs one (see `parsers`); a stream that declared namespaces
other than the usual two keeps its own. `Framer` accepts a stream in arbitrary pieces;
`Parsers.read` reads one whole element, such as a message of RFC 7395.
"""

from __future__ import annotations

import re
from typing import Final, Generic, Protocol, TypeVar
from xml.etree import ElementTree as ET

from amoc.base.tracebacks import raise_without_cycle
from amoc.xmpp.wire.elements import STREAM_END, stream_header
from amoc.xmpp.wire.parser import STANDARD_HEADER, WORN_BYTES, Parser, T, Violation
from amoc.xmpp.wire.parsers import AnyReader, Parsers

_NAME: Final = re.compile(rb"<([^\s/>]+)")


T_contra = TypeVar("T_contra", contravariant=True)


class Reader(Protocol[T_contra]):
    """Receives the parts of a stream.

    Any of its methods may call `close`, `restart` or `limit` of the framer for what follows.
    """

    def on_header(self, attrs: dict[str, str]) -> None:
        """The stream header was read; these are its attributes."""

    def on_element(self, element: T_contra) -> None:
        """A whole child of the stream was read."""

    def on_close(self) -> None:
        """The peer closed its stream."""


class Framer(Generic[T]):
    """Splits one stream into elements: the framing of RFC 6120.

    Attributes:
        closed: Whether the stream is over, so that further input is ignored.
        max_bytes: Maximum length of a stanza.
        opening: Whether a stream header is expected: at the beginning and after each restart.
        parser: The borrowed parser; None while the stream is idle.
        root: The tag of the stream header if that declared unusual namespaces; else None.
    """

    __slots__ = ("_parsers", "_read_whole", "closed", "max_bytes", "opening", "parser", "root")

    def __init__(
        self, parsers: Parsers[T], max_bytes: int, read_whole: AnyReader | None = None
    ) -> None:
        """Start a stream.

        Args:
            parsers: The pool of parsers.
            max_bytes: Maximum length of a stanza.
            read_whole: Used instead of that of `parsers`; may return elements of any kind.
        """
        self._parsers = parsers
        self._read_whole = read_whole or parsers.read_whole
        self.closed = False
        self.max_bytes = max_bytes
        self.opening = True
        self.parser: Parser[T] | None = None
        self.root: bytes | None = None

    @property
    def unfinished(self) -> bool:
        """Whether bytes of an unfinished element are held."""
        return self.parser is not None and bool(self.parser.pending)

    @property
    def place(self) -> str:
        """Position in the stream after the last byte, in words."""
        what = "stream header" if self.opening else "stanza"
        if self.unfinished:
            return f"inside the {what}" if self.opening else f"inside a {what}"
        return f"before the {what}" if self.opening else "between two stanzas"

    def feed(self, chunk: bytes, reader: Reader[T]) -> None:
        """Process `chunk`, the next bytes, and pass what they complete to `reader`.

        Raises:
            Violation: The peer violated a rule, after what was passed to `reader`.
        """
        while chunk and not self.closed:
            read_whole = self._read_whole
            if not (self.opening or self.parser or self.root or read_whole is None):
                elements = read_whole(chunk, self.max_bytes)
                if elements is not None:
                    if len(elements) == 1:  # nearly always
                        reader.on_element(elements[0])
                        return
                    chunk = self._hand_over(chunk, elements, reader)
                    continue
            chunk = self._parse(chunk, reader)

    def _parse(self, chunk: bytes, reader: Reader[T]) -> bytes:
        """Do the same with a parser; return the bytes left for another parser."""
        parser = self.parser
        if parser is None:
            if not self.opening and chunk.isspace() and not chunk.strip(b" \t\n"):
                return b""  # whitespace that keeps the connection alive
            lend = self._parsers
            parser = self.parser = lend.new() if self.opening else lend.inside(self.root)
        found: list[tuple[int, T]] = []
        broken: list[Violation] = []
        idle = False
        try:
            idle = parser.feed(chunk, found, self.max_bytes)
        except Violation as violation:
            broken.append(violation)
        if self.opening and parser.header is not None:
            self.opening = False
            self.root = parser.root
            reader.on_header(parser.header)
            if self.closed:
                return b""
        for left, element in found:
            reader.on_element(element)
            if self.parser is not parser:
                return chunk[len(chunk) - left :]  # for another parser, or to be ignored
        if idle and (parser.root is None or parser.fed > WORN_BYTES):
            self.parser = None
            self._parsers.put_back(parser)
            return b""
        return self._settle(parser, reader, broken, bool(found))

    def _hand_over(self, chunk: bytes, elements: list[T], reader: Reader[T]) -> bytes:
        """Pass the elements in `chunk` to `reader`; return the bytes left for another parser."""
        max_bytes = self.max_bytes
        for index, element in enumerate(elements, 1):
            reader.on_element(element)
            if self.closed:
                return b""
            if self.opening or self.max_bytes != max_bytes:
                return self._after(chunk, index)
        return b""

    def _after(self, chunk: bytes, count: int) -> bytes:
        """Return what follows the first `count` elements of `chunk`, all of which are whole."""
        parser = self._parsers.inside(None)
        found: list[tuple[int, T]] = []
        parser.feed(chunk, found, len(chunk))
        self._parsers.put_back(parser)
        return chunk[len(chunk) - found[count - 1][0] :]

    def header(self, addresses: str) -> bytes:
        """Return a stream header (RFC 6120 section 4.7)."""
        return stream_header(addresses)

    def ending(self) -> bytes:
        """Return a closing stream tag (section 4.4)."""
        return STREAM_END

    def limit(self, max_bytes: int) -> None:
        """Limit the length of stanzas after the current `Reader.on_element`."""
        self.max_bytes = max_bytes
        self._give_back()

    def restart(self) -> None:
        """Expect a new stream header, after the current `Reader.on_element`."""
        self.opening = True
        self.root = None
        self._give_back()

    def close(self) -> None:
        """Stop reading, and free the data of an unfinished stanza."""
        self.closed = True
        self._give_back()

    def _settle(
        self, parser: Parser[T], reader: Reader[T], broken: list[Violation], completed: bool
    ) -> bytes:
        """Finish a chunk; return the bytes that another parser must parse again."""
        if broken:
            self.close()
            raise_without_cycle(broken)
        if parser.closed:
            self.close()
            reader.on_close()
        elif completed and parser.fed > WORN_BYTES:
            rest = bytes(parser.pending or b"")
            self._give_back()
            return rest
        return b""

    def _give_back(self) -> None:
        parser, self.parser = self.parser, None
        if parser is not None:
            self._parsers.put_back(parser)


def tree(root: bytes | None, raw: bytes) -> ET.Element:
    """Return an element cut out of a stream, as a tree.

    Args:
        root: As in `Framer.root`.
        raw: Its bytes, already checked by a parser.
    """
    if root is None:
        document = STANDARD_HEADER + raw + STREAM_END
    else:
        name = _NAME.match(root)
        assert name is not None
        document = root + raw + b"</" + name[1] + b">"
    return ET.fromstring(document)[0]  # noqa: S314 - already checked by a Parser
