"""Bytes to stanzas: expat says where each one begins and ends, and the bytes between are cut out.

Two ideas make this cheap:

- A stanza is not built as a tree. Its name, its attributes and its own bytes are enough to route
  it, and the few stanzas that the server answers itself are parsed again by `element()`.
- A parser costs 10 kB, far more than all the rest of an idle connection. Between two stanzas every
  stream that declared the usual namespaces and nothing else is in the same state, so such streams
  share a pool of parsers: one is lent to a stream while a chunk of its bytes is parsed, and stays
  with it only if the chunk ended inside a stanza. A stream that declared anything else keeps its
  own.

Rules that make this safe:

- Only well-formed, namespace-well-formed UTF-8 gets through, without comments, processing
  instructions, document types or entities (RFC 6120 section 11.1), no deeper and no longer than
  the stream's limits.
- A parser remembers every name it ever saw, so it is retired after `_RETIRE_BYTES`, between two
  stanzas.
- A parser that raised is never used again.
"""

from __future__ import annotations

import re
from typing import Final, Protocol
from xml.etree import ElementTree as ET
from xml.parsers import expat

from amoc.xmppd.wire import (
    NS_CLIENT,
    NS_STREAMS,
    STANDARD_HEADER,
    STREAM,
    STREAM_END,
    StreamFailure,
)

# Every name a client invents stays in the parser, at some forty times its size on the wire.
_RETIRE_BYTES: Final = 1 << 20
_POOL_SIZE: Final = 64
_STANDARD_NAMESPACES: Final = {None: NS_CLIENT, "stream": NS_STREAMS}
# A start tag: a ">" inside quotes does not end it. Each branch begins with another character:
# linear.
_START_TAG: Final = re.compile(rb"<([^\s/>]+)[^>\"']*(?:(?:\"[^\"]*\"|'[^']*')[^>\"']*)*>")
_UNDEFINED_ENTITY: Final = expat.errors.codes[expat.errors.XML_ERROR_UNDEFINED_ENTITY]
_BLANKS: Final = b" \n\t\r"


class Stream(Protocol):
    """What the framing keeps with a stream, and whom it tells.

    Attributes:
        framer: The parser this stream holds at the moment; None while it holds none.
        pending: Bytes from the end of the last whole stanza on; None when there are none.
        header: The client's own header, when it declared unusual namespaces; else None.
        opening: Whether the stream waits for a header, at its beginning and after each restart.
        closed: Whether nothing more is to be parsed.
        max_stanza: How many bytes a stanza, or a header, may have.
        max_depth: How many elements may be open at once, the stanza's own included.
    """

    framer: Framer | None
    pending: bytearray | None
    header: bytes | None
    opening: bool
    closed: bool
    max_stanza: int
    max_depth: int

    def opened(self, name: str, attrs: dict[str, str]) -> bool:
        """A header was read. True: parse no further in this chunk (closed or restarted)."""

    def stanza(self, name: str, attrs: dict[str, str], raw: bytes) -> bool:
        """A whole stanza was read. True: parse no further with this parser."""

    def ended(self) -> None:
        """The client closed its stream."""


class _Halt(Exception):
    """Leaves the parser: what follows `Framer.cut` is for another parser, or for nobody."""


class Framer:
    """One parser, positioned at a header or between two stanzas of an open stream.

    Attributes:
        cut: Where the last whole stanza ended, counted from the first pending byte.
        standard: Whether it is inside a stream that declared the usual namespaces only.
        busy: Whose bytes are being parsed right now, if any.
    """

    __slots__ = (
        "_attrs",
        "_base",
        "_begin",
        "_childless",
        "_data",
        "_depth",
        "_fed",
        "_name",
        "_namespaces",
        "_parser",
        "busy",
        "cut",
        "standard",
    )

    def __init__(self) -> None:
        parser = expat.ParserCreate("UTF-8", " ")
        # Since 2.6 expat may sit on a finished token until more bytes come; a stanza would wait for
        # the next one. Python has the switch from the release on that brought that expat.
        if hasattr(parser, "SetReparseDeferralEnabled"):
            parser.SetReparseDeferralEnabled(False)
        self._parser = parser
        self._depth = 0
        self._fed = 0
        self._base = 0
        self._begin = 0
        self._childless = True
        self._data: bytes | bytearray = b""
        self._name = ""
        self._attrs: dict[str, str] = {}
        self._namespaces: dict[str | None, str] = {}
        self.busy: Stream | None = None
        self.cut = 0
        self.standard = False
        parser.StartNamespaceDeclHandler = self._namespace
        parser.StartElementHandler = self._start
        parser.EndElementHandler = self._end
        parser.CommentHandler = self._refuse_comment
        parser.ProcessingInstructionHandler = self._refuse_instruction
        parser.StartDoctypeDeclHandler = self._refuse_doctype
        parser.XmlDeclHandler = self._declaration

    @classmethod
    def primed(cls, header: bytes) -> Framer:
        """A framer that is already inside the stream that `header` opens."""
        framer = cls()
        framer._parser.Parse(header, False)
        framer._fed = len(header)
        return framer

    @property
    def worn(self) -> bool:
        """Whether it has seen so much that it should be retired."""
        return self._fed > _RETIRE_BYTES

    @property
    def between_stanzas(self) -> bool:
        """Whether the stream is open and no stanza of it is."""
        return self._depth == 1

    def feed(self, stream: Stream, chunk: bytes) -> bool:
        """Parses the next `chunk` of `stream` and tells it what was found.

        Returns:
            Whether parsing was halted at `cut`; the framer is of no more use then.

        Raises:
            StreamFailure: The bytes break a rule; the framer is of no more use.
        """
        pending = stream.pending
        if pending is None:
            self._data = chunk
            self._base = self._fed
        else:
            self._base = self._fed - len(pending)
            pending += chunk
            self._data = pending
        self._fed += len(chunk)
        self.cut = 0
        self.busy = stream
        try:
            self._parser.Parse(chunk, False)
        except _Halt:
            return True
        except expat.ExpatError as error:
            raise _failure(error) from None
        finally:
            self._data = b""
            self.busy = None
        return False

    def discard(self) -> None:
        """Breaks the reference cycle with the parser, so that it is freed at once."""
        parser = self._parser
        parser.StartElementHandler = parser.EndElementHandler = None
        parser.StartNamespaceDeclHandler = parser.XmlDeclHandler = None
        parser.CommentHandler = parser.ProcessingInstructionHandler = None
        parser.StartDoctypeDeclHandler = None

    def _namespace(self, prefix: str | None, uri: str | None) -> None:
        self._namespaces[prefix] = uri or ""

    def _start(self, name: str, attrs: dict[str, str]) -> None:
        depth = self._depth = self._depth + 1
        if depth > 2:
            self._childless = False
            assert self.busy is not None
            if depth > self.busy.max_depth + 1:
                limit = self.busy.max_depth
                raise StreamFailure("policy-violation", f"elements may be nested {limit} deep")
        elif depth == 2:
            # Counted from the parser's first byte: the stanza may end in another chunk.
            begin = self._begin = self._parser.CurrentByteIndex
            if begin - self._base != self.cut:
                self._require_blank(begin - self._base)
            self._childless = True
            self._name = name
            self._attrs = attrs
        else:
            self._header(name, attrs)

    def _require_blank(self, until: int) -> None:
        if self._data[self.cut : until].strip(_BLANKS):
            raise _text_between_stanzas()

    def _header(self, name: str, attrs: dict[str, str]) -> None:
        # From here on the prefixes inside stanzas are nobody's business.
        self._parser.StartNamespaceDeclHandler = None
        self.standard = name == STREAM and self._namespaces == _STANDARD_NAMESPACES
        stream = self.busy
        if stream is None:  # being primed
            return
        tag = _START_TAG.match(self._data, self._parser.CurrentByteIndex - self._base)
        if tag is None:
            raise StreamFailure("not-well-formed", "the stream header is not a start tag")
        if len(self._data[: tag.end()].lstrip(_BLANKS)) > stream.max_stanza:
            raise _too_long(stream.max_stanza)
        self.cut = tag.end()
        stream.header = None if self.standard else tag[0]
        stream.opening = False
        if stream.opened(name, attrs):
            raise _Halt

    def _end(self, _name: str) -> None:
        depth = self._depth = self._depth - 1
        if depth == 1:
            self._finish()
        elif depth == 0:
            stream = self.busy
            if stream is not None:
                self._require_blank(self._parser.CurrentByteIndex - self._base)
                stream.ended()
                raise _Halt

    def _finish(self) -> None:
        data = self._data
        begin = self._begin - self._base
        stream = self.busy
        assert stream is not None
        # At the end of <a></a> expat points to the end tag, but at the end of <a/> behind it.
        tag = _START_TAG.match(data, begin) if self._childless else None
        if tag is not None and tag[0].endswith(b"/>"):
            end = tag.end()
        else:
            end = data.index(b">", self._parser.CurrentByteIndex - self._base) + 1
        if end - begin > stream.max_stanza:
            raise _too_long(stream.max_stanza)
        self.cut = end
        raw = data[begin:end]
        if type(raw) is not bytes:
            raw = bytes(raw)
        halt = stream.stanza(self._name, self._attrs, raw) or self._fed > _RETIRE_BYTES
        if halt and end != len(data):
            raise _Halt

    def _refuse_comment(self, _text: str) -> None:
        raise StreamFailure("restricted-xml", "comments are not allowed")

    def _refuse_instruction(self, _target: str, _data: str) -> None:
        raise StreamFailure("restricted-xml", "processing instructions are not allowed")

    def _refuse_doctype(self, *_: object) -> None:
        raise StreamFailure("restricted-xml", "document type declarations are not allowed")

    def _declaration(self, _version: str, encoding: str | None, _standalone: int) -> None:
        if encoding is not None and encoding.upper() != "UTF-8":
            raise StreamFailure("unsupported-encoding", "the encoding must be UTF-8")


def _failure(error: expat.ExpatError) -> StreamFailure:
    # expat's message holds no text of the client's, only what is wrong and where.
    if error.code == _UNDEFINED_ENTITY:
        return StreamFailure("restricted-xml", "only the five predefined entities are allowed")
    return StreamFailure("not-well-formed", str(error))


def _too_long(limit: int) -> StreamFailure:
    return StreamFailure("policy-violation", f"a stanza may have at most {limit} bytes")


def _text_between_stanzas() -> StreamFailure:
    return StreamFailure("bad-format", "there was text between two stanzas")


class FramerPool:
    """Lends parsers to streams, and drives a stream's bytes through the one it has."""

    def __init__(self) -> None:
        self._idle: list[Framer] = []

    def __repr__(self) -> str:
        return f"<FramerPool {len(self._idle)} idle>"

    def feed(self, stream: Stream, chunk: bytes) -> None:
        """Parses the next `chunk` of bytes of `stream` and tells it what was found.

        Raises:
            StreamFailure: The client broke a rule; the stream must be ended with this condition.
        """
        while chunk and not stream.closed:
            framer = stream.framer
            if framer is None:
                framer = self._take(stream)
            held = stream.pending
            try:
                halted = framer.feed(stream, chunk)
                if not halted:
                    self._settle(stream, framer, chunk)
                    return
            except BaseException:
                stream.framer = stream.pending = None
                framer.discard()
                raise
            chunk = bytes((chunk if held is None else held)[framer.cut :])
            stream.framer = stream.pending = None
            framer.discard()

    def release(self, stream: Stream) -> None:
        """Takes back what a stream that was closed still holds."""
        framer, stream.framer, stream.pending = stream.framer, None, None
        # One that is parsing is discarded by feed(), on its way out.
        if framer is not None and framer.busy is None:
            framer.discard()

    def _take(self, stream: Stream) -> Framer:
        if stream.opening:
            return Framer()
        if stream.header is not None:
            return Framer.primed(stream.header)
        return self._idle.pop() if self._idle else Framer.primed(STANDARD_HEADER)

    def _settle(self, stream: Stream, framer: Framer, chunk: bytes) -> None:
        data = chunk if stream.pending is None else stream.pending
        tail: bytes | bytearray = b""
        if framer.cut != len(data):
            # A stanza that is still growing is not copied for each chunk of it.
            grown = framer.cut == 0 and data is stream.pending and data[:1] == b"<"
            tail = data if grown else data[framer.cut :].lstrip(_BLANKS)
        if stream.closed:
            stream.framer = stream.pending = None
            framer.discard()
        elif tail or not framer.between_stanzas or data.endswith(b"\r"):
            # expat holds a carriage return back until it knows what follows: not between stanzas.
            if tail and not tail.startswith(b"<"):
                # Inside a stanza the tail begins with its "<": this is text outside of any.
                if framer.between_stanzas:
                    raise _text_between_stanzas()
                raise StreamFailure("not-well-formed", "what was sent is not XML")
            if len(tail) > stream.max_stanza:
                raise _too_long(stream.max_stanza)
            stream.framer = framer
            stream.pending = tail if type(tail) is bytearray else bytearray(tail)
        else:
            stream.pending = None
            if framer.standard and not framer.worn and len(self._idle) < _POOL_SIZE:
                stream.framer = None
                self._idle.append(framer)
            elif framer.standard or framer.worn or stream.opening:
                stream.framer = None
                framer.discard()
            else:
                stream.framer = framer


def element(header: bytes | None, raw: bytes) -> ET.Element:
    """The stanza `raw` as a tree, in the namespaces that its stream's `header` declares.

    Args:
        header: As in `Stream.header`.
        raw: One whole stanza, as cut out by a `Framer`, which has checked it.
    """
    if header is None:
        document = STANDARD_HEADER + raw + STREAM_END
    else:
        tag = _START_TAG.match(header)
        assert tag is not None
        document = header + raw + b"</" + tag[1] + b">"
    return ET.fromstring(document)[0]  # noqa: S314 - its bytes have passed a Framer
