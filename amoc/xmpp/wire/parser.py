"""Pure. One expat parser inside an XMPP stream, which accepts nothing that XMPP forbids.

What becomes of an element is for the kinds of parsers in `parsers` to say. What they read and what
they refuse is the same:

- Nothing but well-formed UTF-8 without document type, entity declaration, comment or processing
  instruction is accepted (RFC 6120 section 11.1), no deeper and no longer than the limits.
- What has not ended yet has limits too: an endless tag, text or stanza is an error as soon as it
  passes them.
- It makes no difference to any of this in which pieces the bytes come.
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
"""How long a tag may be, its names and attributes included, and a stream header with what precedes
it. expat reads an unfinished tag again whenever more of it comes; this bounds the work.
"""
WORN_BYTES: Final = 1 << 20
"""expat remembers every name it ever saw, so a parser is replaced after so many bytes."""
MAX_TAGS: Final = 4096
BLANKS: Final = b" \t\r\n"

_ROOT: Final = ns.STREAMS + "}stream"
_STANDARD: Final = {None: ns.CLIENT, "stream": ns.STREAMS}
STANDARD_HEADER: Final = f"<stream:stream xmlns='{ns.CLIENT}' xmlns:stream='{ns.STREAMS}'>".encode()
_UNDEFINED_ENTITY: Final = expat.errors.codes[expat.errors.XML_ERROR_UNDEFINED_ENTITY]
# Quotes may hide a ">". Each branch begins with a character of its own, so this takes linear time.
_START_TAG: Final = re.compile(rb"<[^\s/>]+[^>\"']*(?:(?:\"[^\"]*\"|'[^']*')[^>\"']*)*>")
# Stanzas of other kinds of streams, or of none: an error in a client's stream, either way.
MISTAKEN: Final = frozenset(
    f"{namespace}{name}"
    for namespace in ("", "jabber:server}", "jabber:component:accept}")
    for name in ("message", "presence", "iq")
)
Cut = tuple[str, dict[str, str], bytes]
"""An element that was cut out: its tag, its attributes, and all of its bytes."""

T = TypeVar("T")
"""What a parser makes of an element: an `Element` or a `Cut`."""


class Violation(Condition):
    """A rule of XMPP that the peer broke; the stream must end with this stream error."""


_NOTHING: Final[list[Any]] = []  # Any: for elements of all kinds; it stays empty


class _End(Exception):
    """Leaves expat at the end of the stream: what follows is not looked at."""


class _Tags(dict[str, str]):
    """Expat's ``namespace}name`` to ElementTree's ``{namespace}name``, remembered."""

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
    """`attrs` with all keys as ElementTree spells them."""
    for key in attrs:
        if "}" in key:
            return {TAGS[key]: value for key, value in attrs.items()}
    return attrs


class Parser(Generic[T]):
    """One expat parser, before a header or inside a stream.

    Attributes:
        closed: Whether the stream has ended.
        depth: How many elements are open, the stream's root included; -1 after a violation.
        fed: Bytes it was given in its life.
        header: The attributes of the stream header, once it was read.
        pending: Bytes from the end of the last whole element on; None when there are none. It is
            empty when expat alone holds something back: a carriage return.
        root: The header's tag when it declares other namespaces than the usual two; else None.
        namespace: What stanzas must be in.
    """

    namespace: ClassVar[str] = ns.CLIENT

    def __init__(self, max_depth: int) -> None:
        """Make a parser that waits for a stream header.

        Args:
            max_depth: How many elements may be open at once inside a child of the stream, itself
                included.
        """
        parser = expat.ParserCreate("UTF-8", "}")
        # From 2.6 on expat may sit on a finished tag until more bytes come; a stanza would wait for
        # the next one. MAX_TAG_BYTES does the job of what is switched off here.
        if hasattr(parser, "SetReparseDeferralEnabled"):
            parser.SetReparseDeferralEnabled(False)
        self._expat = parser
        self._deepest = max_depth + 1  # with the root
        self._max_bytes = 0
        self._inspected = max_depth + 1  # elements below this depth are looked at more closely
        self._namespaces: dict[str | None, str] = {}
        self._data: bytes | bytearray = b""  # pending bytes and the chunk; positions count in it
        self._base = 0  # the position of its first byte, counted as expat does
        self._cut = 0  # where the last whole element ended
        self._begin = 0  # where the element that is open began
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
        """Whether the bytes that were fed last completed an element."""
        return self._cut > 0

    def feed(self, chunk: bytes, out: list[tuple[int, T]], max_bytes: int) -> bool:
        """Parse the next bytes.

        Args:
            chunk: The bytes.
            out: Gets each element that they complete, after the number of bytes that follow it.
            max_bytes: How long an element may be.

        Returns:
            Whether it is between two elements now and holds nothing back.

        Raises:
            Violation: They break a rule; the parser is of no more use. `out` has what was whole.
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
            self._inspected = 1  # only here may a tag be too long
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
        """Break the circle of references with expat, so that it is freed at once."""
        parser = self._expat
        parser.StartNamespaceDeclHandler = parser.StartElementHandler = None
        parser.EndElementHandler = parser.CharacterDataHandler = None

    def _settle(self) -> None:
        """Keep what is not whole yet, if it may become so."""
        data = self._data
        cut = self._cut
        tail = data
        # An element that is still growing is not copied for each chunk of it.
        if cut or data is not self.pending or data[:1] != b"<":
            tail = data[cut:].lstrip(BLANKS)
            # expat holds a carriage return back until it knows what follows.
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
        """Tag and attributes of an element."""
        raise NotImplementedError

    def _start(self, name: str, attrs: dict[str, str]) -> None:
        raise NotImplementedError

    def _end(self, name: str) -> None:
        raise NotImplementedError

    def begin_element(self, name: str) -> str:
        """The start of a child of the stream was read; its tag."""
        begin = self._begin = self._expat.CurrentByteIndex
        if begin - self._base != self._cut:
            self._require_blank(begin - self._base)
        return _CHILD_TAGS[name]

    def inspect(self, depth: int) -> None:
        """Look closely at an element that is deep, or whose tag may be long."""
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
        """The end of a child of the stream was read; where in the data that is.

        Args:
            empty: Whether it may be an empty-element tag, ``<a/>``.
        """
        data = self._data
        begin = self._begin - self._base
        # At the end of <a></a> expat points to the end tag, but at the end of <a/> behind it.
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
        """The stream header was read."""
        if not self._data.lstrip(BLANKS).startswith(b"<"):
            raise _not_xml()  # a byte order mark, which expat would take
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
        # Which prefixes stanzas declare is expat's business alone.
        self._expat.StartNamespaceDeclHandler = None
        self._namespaces = {}

    def _check_header(self, length: int) -> None:
        limit = min(self._max_bytes, MAX_TAG_BYTES)
        if length > limit:
            raise _too_long("a stream header", limit)

    def close(self) -> NoReturn:
        """The end of the stream was read."""
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
    # expat's message holds no text of the peer's, only what is wrong and where.
    if error.code == _UNDEFINED_ENTITY:
        return Violation("restricted-xml", "only the five predefined entities are allowed")
    return Violation("not-well-formed", str(error))


def _not_xml() -> Violation:
    return Violation("not-well-formed", "what was sent is not XML")


def _text_between() -> Violation:
    return Violation("bad-format", "there must be no text between stanzas")


def _too_long(what: str, limit: int) -> Violation:
    return Violation("policy-violation", f"{what} may have at most {limit} bytes")
