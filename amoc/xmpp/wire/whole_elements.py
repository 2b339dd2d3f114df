"""Pure. Whole elements of a client's stream, read entirely by C code.

Nearly everything that a client receives arrives as whole elements. Their bytes are fed into an
endless stream, followed by an empty element. Suppose that this parses, and the stream's last child
is then empty. Then the bytes have opened no more elements than they closed: otherwise the trailing
element would be nested in that child. And they have closed no more than they opened, since the
stream is still open. Everything else is left to a `Parser`, which finds out whether it is
unfinished or forbidden. So this accepts nothing that a `Parser` rejects, with the same result.
"""

from __future__ import annotations

from typing import Final, NoReturn
from xml.etree.ElementTree import Element, ParseError, TreeBuilder, XMLParser

from amoc.xmpp.wire.parser import BLANKS, MAX_TAG_BYTES, MISTAKEN, STANDARD_HEADER, TAGS, WORN_BYTES

_LEFT: Final = ord("<")
_RIGHT: Final = ord(">")
_BEHIND: Final = b'<a b="\'?>"/>'
"""Its attribute ends a quotation or processing instruction, which would otherwise swallow it."""
_DECLARATION: Final = b"<!"
"""Start of forbidden markup, or of CDATA, which would swallow what follows if unfinished."""
_LEVEL_BYTES: Final = len(b"<a></a>")
_BLANK_TEXT: Final = BLANKS.decode()
_MISTAKEN_TAGS: Final = frozenset(TAGS[name] for name in MISTAKEN)


class WholeElements:
    """Reads bytes that are whole elements, as in a stream with the usual namespaces."""

    def __init__(self, max_depth: int) -> None:
        """Create a reader.

        Args:
            max_depth: Maximum number of open elements, including the outermost.
        """
        self._max_depth = max_depth
        self._flat_bytes = max_depth * _LEVEL_BYTES  # too short for any element to be too deep
        self._parser: XMLParser
        self._root: Element
        self.close()

    def close(self) -> None:
        """Free the parser; another one is created on demand."""
        self.__dict__.pop("_parser", None)
        self.__dict__.pop("_root", None)
        self._fed = WORN_BYTES + 1

    def read(self, data: bytes, max_bytes: int) -> list[Element] | None:
        """Return the elements in `data`; None if a `Parser` must read it.

        Args:
            data: The bytes.
            max_bytes: Maximum length.
        """
        length = len(data)
        if (
            not 0 < length <= max_bytes
            or data[0] != _LEFT
            or data[-1] != _RIGHT
            or data.find(_DECLARATION) >= 0  # faster: `in` first tries the bytes as an integer
            or (length > self._flat_bytes and self._may_exceed(data))
        ):
            return None
        if self._fed > WORN_BYTES:
            self._renew()
        self._fed += length
        root = self._root
        try:
            self._parser.feed(data + _BEHIND)
            whole = not len(root[-1]) and root.text is None
        except (ParseError, _RefusedError):
            whole = False
        if not whole:
            self._renew()
            return None
        elements = root[:-1]
        root.clear()
        for element in elements:
            if element.tail is not None:
                if element.tail.strip(_BLANK_TEXT):
                    return None
                element.tail = None
            if element.tag in _MISTAKEN_TAGS:
                return None
        return elements

    def _may_exceed(self, data: bytes) -> bool:
        """Return whether a tag may be too long, or an element too deep."""
        # The innermost element may have no end tag.
        return len(data) > MAX_TAG_BYTES or data.count(b"</") >= self._max_depth

    def _renew(self) -> None:
        self._fed = 0
        self._parser, self._root = _inside_a_stream()


class _RefusedError(Exception):
    """Leaves the parser, as XMPP allows neither comments nor processing instructions."""


def _refuse(*_: object) -> NoReturn:
    raise _RefusedError


def _inside_a_stream() -> tuple[XMLParser, Element]:
    """Return a parser that has read a stream header, and the element created for it."""
    builder = TreeBuilder(
        comment_factory=_refuse, pi_factory=_refuse, insert_comments=True, insert_pis=True
    )
    outside = builder.start("outside", {})  # gives access to the stream before it ends
    parser = XMLParser(target=builder, encoding="utf-8")  # noqa: S314 - entities are rejected
    parser.feed(STANDARD_HEADER)
    return parser, outside[0]
