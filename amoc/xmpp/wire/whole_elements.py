"""Pure. Whole elements of a client's stream, read by C code alone.

Nearly all that a client gets comes as whole elements. Their bytes are put into a stream that never
ends, with an empty element behind them. If that can be read, and the last child that the stream has
then is empty, they have opened no more than they closed: otherwise the element behind them would be
inside of that child. And they have closed no more than they opened, since the stream is still open.
Whatever else comes is for a `Parser`, which finds out whether it is unfinished or forbidden. So
this takes nothing that one would refuse, and makes the same of it.
"""

from __future__ import annotations

from typing import Final, NoReturn
from xml.etree.ElementTree import Element, ParseError, TreeBuilder, XMLParser

from amoc.xmpp.wire.parser import BLANKS, MAX_TAG_BYTES, MISTAKEN, STANDARD_HEADER, TAGS, WORN_BYTES

_LEFT: Final = ord("<")
_RIGHT: Final = ord(">")
_BEHIND: Final = b"<a/>"
_DECLARATION: Final = b"<!"
"""Begins what is forbidden, or CDATA, which takes in what stands behind it when it is not ended."""
_LEVEL_BYTES: Final = len(b"<a></a>")
_BLANK_TEXT: Final = BLANKS.decode()
_MISTAKEN_TAGS: Final = frozenset(TAGS[name] for name in MISTAKEN)


class WholeElements:
    """Reads bytes that are whole elements, as if they stood in a stream of the usual namespaces."""

    def __init__(self, max_depth: int) -> None:
        """Make a reader.

        Args:
            max_depth: How many elements may be open at once, the outermost included.
        """
        self._max_depth = max_depth
        self._flat_bytes = max_depth * _LEVEL_BYTES  # in which none can be too deep
        self._parser: XMLParser
        self._root: Element
        self.close()

    def close(self) -> None:
        """Free the parser; another one is made when there is something to read."""
        self.__dict__.pop("_parser", None)
        self.__dict__.pop("_root", None)
        self._fed = WORN_BYTES + 1

    def read(self, data: bytes, max_bytes: int) -> list[Element] | None:
        """The elements that `data` is; None when a `Parser` has to look at it.

        Args:
            data: The bytes.
            max_bytes: How long they may be.
        """
        length = len(data)
        if (
            not 0 < length <= max_bytes
            or data[0] != _LEFT
            or data[-1] != _RIGHT
            or data.find(_DECLARATION) >= 0  # `in` makes an error first, of what is no number
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
        """Whether a tag in it may be too long, or an element too deep."""
        # The innermost element may have no end tag.
        return len(data) > MAX_TAG_BYTES or data.count(b"</") >= self._max_depth

    def _renew(self) -> None:
        self._fed = 0
        self._parser, self._root = _inside_a_stream()


class _RefusedError(Exception):
    """Leaves the parser: XMPP allows neither comments nor processing instructions."""


def _refuse(*_: object) -> NoReturn:
    raise _RefusedError


def _inside_a_stream() -> tuple[XMLParser, Element]:
    """A parser that has read a stream header, and the element that it made of that."""
    builder = TreeBuilder(
        comment_factory=_refuse, pi_factory=_refuse, insert_comments=True, insert_pis=True
    )
    outside = builder.start("outside", {})  # so that the stream can be had before it ends
    parser = XMLParser(target=builder, encoding="utf-8")  # noqa: S314 - no entity can be declared
    parser.feed(STANDARD_HEADER)
    return parser, outside[0]
