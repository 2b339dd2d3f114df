"""Pure. One expat parser inside an XMPP stream, which rejects everything that XMPP forbids.

The kinds of parsers in `parsers` decide what to make of an element. What they accept is the same:

- Only well-formed UTF-8 without document type, entity declarations, comments or processing
  instructions (RFC 6120 section 11.1), within limits of depth and length.
- Unfinished input is limited, too: an endless tag, text or stanza is an error as soon as it exceeds
  a limit.
- The result does not depend on how the bytes are split into pieces.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from functools import cache
from typing import Any, ClassVar, Final, Generic, NoReturn, TypeVar
from xml.parsers import expat

from amoc.xmpp.wire import namespaces as ns
from amoc.xmpp.wire.condition import Condition

MAX_TAG_BYTES: Final = 32 << 10
"""Maximum length of a tag, including its names and attributes, and of a stream header, including
what precedes it. expat rescans an unfinished tag whenever more of it arrives; this bounds the work.
"""
WORN_BYTES: Final = 1 << 20
"""Number of bytes after which a parser is replaced, as expat keeps every name it has ever seen."""
MAX_TAGS: Final = 4096
BLANKS: Final = b" \t\r\n"

_ROOT: Final = ns.STREAMS + "}stream"
_STANDARD: Final = {None: ns.CLIENT, "stream": ns.STREAMS}
STANDARD_HEADER: Final = f"<stream:stream xmlns='{ns.CLIENT}' xmlns:stream='{ns.STREAMS}'>".encode()
_UNDEFINED_ENTITY: Final = expat.errors.codes[expat.errors.XML_ERROR_UNDEFINED_ENTITY]
# Quotes may hide a ">". The branches start with different characters, so this takes linear time.
_START_TAG: Final = re.compile(rb"<[^\s/>]+[^>\"']*(?:(?:\"[^\"]*\"|'[^']*')[^>\"']*)*>")
# Stanzas in the namespace of another kind of stream, or in none: errors in a client's stream.
MISTAKEN: Final = frozenset(
    f"{namespace}{name}"
    for namespace in ("", "jabber:server}", "jabber:component:accept}")
    for name in ("message", "presence", "iq")
)
Cut = tuple[str, dict[str, str], bytes]
"""An element cut out of the stream: its tag, its attributes, and all its bytes."""

T = TypeVar("T")
"""A parser's output for an element: an `Element` or a `Cut`."""


class Violation(Condition):
    """A violation of XMPP by the peer; the stream must end with this stream error."""


_NOTHING: Final[list[Any]] = []  # Any: elements of all kinds; it stays empty


class _End(Exception):
    """Leaves expat at the end of the stream, so that the rest is ignored."""


class _Tags(dict[str, str]):
    """Cached map from expat's ``namespace}name`` to ElementTree's ``{namespace}name``."""

    def __missing__(self, name: str) -> str:
        if len(self) >= MAX_TAGS:
            self.clear()
        tag = self[name] = "{" + name if "}" in name else name
        return tag


class _ChildTags(_Tags):
    """The same for children of the stream, where stanzas must be in the client's namespace."""

    def __missing__(self, name: str) -> str:
        if name in MISTAKEN:
            raise Violation("invalid-namespace", f"a stanza must be in the namespace {ns.CLIENT}")
        return super().__missing__(name)


TAGS: Final = _Tags()
_CHILD_TAGS: Final = _ChildTags()


def qualified_keys(attrs: dict[str, str]) -> dict[str, str]:
    """Return `attrs` with all keys in ElementTree's notation."""
    for key in attrs:
        if "}" in key:
            return {TAGS[key]: value for key, value in attrs.items()}
    return attrs


class Parser(Generic[T]):
    """One expat parser, before a header or inside a stream.

    Attributes:
        closed: Whether the stream has ended.
        depth: Number of open elements, including the stream's root; -1 after a violation.
        fed: Number of bytes parsed so far.
        header: The attributes of the stream header, once read.
        pending: Bytes since the end of the last whole element; None if there are none. It is empty
            if expat alone is holding something back: a carriage return.
        root: The header's tag if it declares other namespaces than the usual two; else None.
        namespace: The namespace required of stanzas.
    """

    namespace: ClassVar[str] = ns.CLIENT

    def __init__(self, max_depth: int) -> None:
        """Create a parser that expects a stream header.

        Args:
            max_depth: Maximum number of open elements in a child of the stream, including the
                child.
        """
        parser = expat.ParserCreate("UTF-8", "}")
        # Since 2.6 expat may hold back a finished tag until more bytes arrive; a stanza would wait
        # for the next one. MAX_TAG_BYTES provides the protection that is switched off here.
        if hasattr(parser, "SetReparseDeferralEnabled"):
            parser.SetReparseDeferralEnabled(False)
        self._expat = parser
        self._deepest = max_depth + 1  # including the root
        self._max_bytes = 0
        self._inspected = max_depth + 1  # elements below this depth are inspected
        self._namespaces: dict[str | None, str] = {}
        self._data: bytes | bytearray = b""  # pending bytes and the chunk; positions refer to it
        self._base = 0  # the position of its first byte in expat's count
        self._cut = 0  # end of the last whole element
        self._begin = 0  # start of the open element
        self._out: list[tuple[int, T]] = []
        self.closed = False
        self.depth = 0
        self.fed = 0
        self.header: dict[str, str] | None = None
        self.pending: bytearray | None = None
        self.root: bytes | None = None
        parser.StartNamespaceDeclHandler = self._namespace
        parser.StartElementHandler = self._start
        parser.EndElementHandler = self._end
        parser.CommentHandler = _refusal("comments")
        parser.ProcessingInstructionHandler = _refusal("processing instructions")
        parser.StartDoctypeDeclHandler = _refusal("document type declarations")
        parser.XmlDeclHandler = _declaration

    @property
    def completed(self) -> bool:
        """Whether the last chunk completed an element."""
        return self._cut > 0

    def feed(self, chunk: bytes, out: list[tuple[int, T]], max_bytes: int) -> bool:
        """Parse the next bytes.

        Args:
            chunk: The bytes.
            out: Receives each completed element, with the number of bytes that follow it.
            max_bytes: Maximum length of an element.

        Returns:
            Whether the parser is now between two elements and holds nothing back.

        Raises:
            Violation: They violate a rule; the parser is unusable. `out` has the whole elements.
        """
        data: bytes | bytearray = chunk
        pending = self.pending
        self._base = self.fed
        if pending is not None:
            self._base -= len(pending)
            pending += chunk
            data = pending
        self.fed += len(chunk)
        self._data = data
        self._cut = 0
        self._out = out
        self._max_bytes = max_bytes
        if len(data) > MAX_TAG_BYTES:
            self._inspected = 1  # only now can a tag be too long
        try:
            self._expat.Parse(chunk, False)
            if self._cut != len(data):
                self._settle()
                return self.depth == 1 and self.pending is None
            self.pending = None
            self._inspected = self._deepest
            return True
        except _End:
            self.closed = True
            return False
        except Violation:
            self.depth = -1
            raise
        except expat.ExpatError as error:
            self.depth = -1
            raise _violation(error) from None
        finally:
            self._data = b""
            self._out = _NOTHING

    def discard(self) -> None:
        """Break the reference cycle with expat, so that it is freed at once."""
        parser = self._expat
        parser.StartNamespaceDeclHandler = parser.StartElementHandler = None
        parser.EndElementHandler = parser.CharacterDataHandler = None

    def _settle(self) -> None:
        """Keep an unfinished element, if it may still become valid."""
        data = self._data
        cut = self._cut
        tail = data
        # An element that is still growing is not copied for each of its chunks.
        if cut or data is not self.pending or data[:1] != b"<":
            tail = data[cut:].lstrip(BLANKS)
            # expat holds a carriage return back until it has seen the next character.
            self.pending = bytearray(tail) if tail or data.endswith(b"\r") else None
        if self.depth == 0:
            self._check_header(self.fed)
            if tail and not tail.startswith(b"<"):
                raise _not_xml()
        elif tail:
            if not tail.startswith(b"<"):
                raise _text_between()
            if len(tail) > self._max_bytes:
                raise _too_long("a stanza", self._max_bytes)
            if self.fed - self._expat.CurrentByteIndex > MAX_TAG_BYTES:
                raise _too_long("a tag", MAX_TAG_BYTES)

    def _namespace(self, prefix: str | None, uri: str | None) -> None:
        self._namespaces[prefix] = uri or ""

    @staticmethod
    def head(element: T) -> tuple[str, dict[str, str]]:
        """Return the tag and attributes of an element."""
        raise NotImplementedError

    def _start(self, name: str, attrs: dict[str, str]) -> None:
        raise NotImplementedError

    def _end(self, name: str) -> None:
        raise NotImplementedError

    def begin_element(self, name: str) -> str:
        """Handle the start of a child of the stream; return its tag."""
        begin = self._begin = self._expat.CurrentByteIndex
        if begin - self._base != self._cut:
            self._require_blank(begin - self._base)
        return _CHILD_TAGS[name]

    def inspect(self, depth: int) -> None:
        """Check an element that may be too deep, or whose tag may be too long."""
        if depth > self._deepest:
            raise Violation(
                "policy-violation", f"elements may be nested at most {self._deepest - 1} deep"
            )
        tag = self._start_tag()
        if tag is not None and tag.end() - tag.start() > MAX_TAG_BYTES:
            raise _too_long("a tag", MAX_TAG_BYTES)

    def _start_tag(self) -> re.Match[bytes] | None:
        return _START_TAG.match(self._data, self._expat.CurrentByteIndex - self._base)

    def _require_blank(self, until: int) -> None:
        if self._data[self._cut : until].strip(BLANKS):
            raise _text_between()

    def end_element(self, empty: bool) -> int:
        """Handle the end of a child of the stream; return its position in the data.

        Args:
            empty: Whether it may be an empty-element tag, ``<a/>``.
        """
        data = self._data
        begin = self._begin - self._base
        # After <a></a> expat's position is the end tag, but after <a/> it is behind the tag.
        tag = _START_TAG.match(data, begin) if empty else None
        if tag is not None and tag[0].endswith(b"/>"):
            end = tag.end()
        else:
            end = data.index(b">", self._expat.CurrentByteIndex - self._base) + 1
        if end - begin > self._max_bytes:
            raise _too_long("a stanza", self._max_bytes)
        self._cut = end
        return end

    def open(self, name: str, attrs: dict[str, str]) -> None:
        """Handle the stream header."""
        if not self._data.lstrip(BLANKS).startswith(b"<"):
            raise _not_xml()  # a byte order mark, which expat would accept
        if name != _ROOT:
            if name.rpartition("}")[2] == "stream":
                raise Violation(
                    "invalid-namespace", f"the stream must be in the namespace {ns.STREAMS}"
                )
            raise Violation("bad-format", "a stream must begin with <stream:stream>")
        tag = self._start_tag()
        if tag is None:
            raise Violation("not-well-formed", "the stream header is not a start tag")
        self._cut = tag.end()
        self._check_header(self._base + self._cut)
        if self._namespaces != _STANDARD or self.namespace != ns.CLIENT:
            if self.namespace not in self._namespaces.values():
                raise Violation("invalid-namespace", f"the stream must declare {self.namespace}")
            self.root = tag[0]
        self.header = qualified_keys(attrs)
        # From here on, prefixes that stanzas declare are left to expat.
        self._expat.StartNamespaceDeclHandler = None
        self._namespaces = {}

    def _check_header(self, length: int) -> None:
        limit = min(self._max_bytes, MAX_TAG_BYTES)
        if length > limit:
            raise _too_long("a stream header", limit)

    def close(self) -> NoReturn:
        """Handle the end of the stream."""
        self._require_blank(self._expat.CurrentByteIndex - self._base)
        raise _End


@cache
def _refusal(what: str) -> Callable[..., None]:
    def refuse(*_: object) -> None:
        raise Violation("restricted-xml", f"{what} are not allowed")

    return refuse


def _declaration(_version: str, encoding: str | None, _standalone: int) -> None:
    if encoding is not None and encoding.upper() != "UTF-8":
        raise Violation("unsupported-encoding", "the encoding must be UTF-8")


def _violation(error: expat.ExpatError) -> Violation:
    # expat's message contains no text from the peer, only the error and its position.
    if error.code == _UNDEFINED_ENTITY:
        return Violation("restricted-xml", "only the five predefined entities are allowed")
    return Violation("not-well-formed", str(error))


def _not_xml() -> Violation:
    return Violation("not-well-formed", "the data is not XML")


def _text_between() -> Violation:
    return Violation("bad-format", "there must be no text between stanzas")


def _too_long(what: str, limit: int) -> Violation:
    return Violation("policy-violation", f"{what} may have at most {limit} bytes")
