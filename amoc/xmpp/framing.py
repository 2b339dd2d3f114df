"""A server's bytes to stanzas: any chunks in, the same elements out, and nothing that XMPP forbids.

expat reads, C code builds the trees, Python only counts: how deep, how long, where a stanza begins.

A parser costs 10 kB, a third of what a connected user may cost in all. Between two stanzas every
stream that declared the usual namespaces is in the same state, so such streams share a pool of
parsers: one is lent to a stream while a chunk is parsed, and stays with it only if the chunk ended
inside a stanza. A stream that declared anything else keeps its own.

Rules that make this safe:

- Nothing but well-formed UTF-8 without document type, entity declaration, comment or processing
  instruction gets through (RFC 6120 section 11.1), no deeper and no longer than the limits.
- What is waited for has a limit too: an endless tag, text or stanza is an error when the limit is
  passed, not when it ends.
- A parser remembers every name it ever saw, so it is retired after `WORN_BYTES`; one that has
  raised is never used again.
- `Framer.feed` never raises. What came before a violation is delivered before it.
"""

from __future__ import annotations

import re
from typing import Final
from xml.etree.ElementTree import Element, TreeBuilder
from xml.parsers import expat

__all__ = ["NS_CLIENT", "NS_STREAMS", "Framer", "Violation"]

NS_STREAMS: Final = "http://etherx.jabber.org/streams"
NS_CLIENT: Final = "jabber:client"

MAX_DEPTH: Final = 100
"""How many elements may be open at once inside a stanza, itself included."""
MAX_TAG_BYTES: Final = 32 << 10
"""How long a tag that comes in pieces may become, and the stream header with what precedes it.

expat reads an unfinished tag again whenever more of it comes; this bounds the work.
"""
MAX_STANZA_BYTES: Final = 1 << 20
WORN_BYTES: Final = 1 << 20
POOL_SIZE: Final = 64
MAX_TAGS: Final = 4096

_ROOT: Final = NS_STREAMS + "}stream"
_STANDARD: Final = {None: NS_CLIENT, "stream": NS_STREAMS}
_STANDARD_HEADER: Final = (
    f"<stream:stream xmlns='{NS_CLIENT}' xmlns:stream='{NS_STREAMS}'>".encode()
)
_UNDEFINED_ENTITY: Final = expat.errors.codes[expat.errors.XML_ERROR_UNDEFINED_ENTITY]
# Quotes may hide a ">". Each branch begins with a character of its own, so this takes linear time.
_START_TAG: Final = re.compile(rb"<[^\s/>]+[^>\"']*(?:(?:\"[^\"]*\"|'[^']*')[^>\"']*)*>")
_BLANKS: Final = b" \t\n"
# Stanzas of other kinds of streams, or of none: whoever sends them to a client is mistaken.
_MISTAKEN: Final = frozenset(
    f"{namespace}{name}"
    for namespace in ("", "jabber:server}", "jabber:component:accept}")
    for name in ("message", "presence", "iq")
)


_NO_BUILDER: Final = TreeBuilder()


class Violation(Exception):
    """A rule of XMPP that the peer broke.

    Attributes:
        condition: The stream error that it deserves (RFC 6120 section 4.9.3).
        text: What was wrong.
    """

    def __init__(self, condition: str, text: str) -> None:
        super().__init__(f"{condition} ({text})")
        self.condition = condition
        self.text = text


_tags: dict[str, str] = {}


def _qualified(name: str) -> str:
    """Expat's ``namespace}name`` as ElementTree's ``{namespace}name``, remembered."""
    if len(_tags) >= MAX_TAGS:
        _tags.clear()
    tag = _tags[name] = "{" + name if "}" in name else name
    return tag


class _Machine:
    """One expat parser, before a header or inside a stream.

    Attributes:
        depth: How many elements are open, the stream's root included.
        fed: Bytes it was given in its life.
        header: The root's attributes, once it was read.
        root: The root's start tag when it declares other namespaces than the usual ones.
    """

    __slots__ = (
        "_at",
        "_begin",
        "_builder",
        "_head",
        "_limit",
        "_namespaces",
        "_out",
        "_parser",
        "_tag_begin",
        "depth",
        "fed",
        "header",
        "root",
    )

    def __init__(self) -> None:
        parser = expat.ParserCreate("UTF-8", "}", {})
        # From 2.6 on expat may sit on a finished tag until more bytes come; a stanza would wait for
        # the next one. MAX_TAG_BYTES does the job of what is switched off here.
        if hasattr(parser, "SetReparseDeferralEnabled"):
            parser.SetReparseDeferralEnabled(False)
        self._parser = parser
        self.depth = 0
        self.fed = 0
        self._at = -1  # where the last tag began that was read to its end
        self._tag_begin = -1  # where the last tag began, whether it has ended or not
        self._begin = 0
        self._limit = 0
        self._builder = _NO_BUILDER
        self._out: list[Element] = []
        self._head: bytes | None = b""
        self._namespaces: dict[str | None, str] = {}
        self.header: dict[str, str] | None = None
        self.root: bytes | None = None
        parser.StartNamespaceDeclHandler = self._namespace
        parser.StartElementHandler = self._start
        parser.EndElementHandler = self._end
        parser.CharacterDataHandler = self._between
        parser.CommentHandler = self._refuse_comment
        parser.ProcessingInstructionHandler = self._refuse_instruction
        parser.StartDoctypeDeclHandler = self._refuse_doctype
        parser.XmlDeclHandler = self._declaration

    @classmethod
    def inside(cls, root: bytes | None) -> _Machine:
        """A machine that is already inside the stream that `root`, or the usual header, opens."""
        machine = cls()
        machine.feed(_STANDARD_HEADER if root is None else root, [], MAX_STANZA_BYTES)
        return machine

    def feed(self, data: bytes, out: list[Element], limit: int) -> None:
        """Parse `data`; append the stanzas that it completes to `out`.

        Raises:
            Violation: The machine is of no more use then.
        """
        begin = data.rfind(b"<")
        if begin >= 0:
            self._tag_begin = self.fed + begin
        if self._head is not None:
            self._head += data
        self.fed += len(data)
        self._out = out
        self._limit = limit
        try:
            self._parser.Parse(data, False)
        except expat.ExpatError as error:
            if error.code == _UNDEFINED_ENTITY:
                raise Violation(
                    "restricted-xml", "only the five predefined entities are allowed"
                ) from None
            raise Violation("not-well-formed", str(error)) from None
        if self.depth != 1 or self._tag_begin > self._at:
            self._check_unfinished()

    def idle(self, data: bytes) -> bool:
        """Whether it is between two stanzas and holds nothing back of `data`, the last chunk."""
        return (
            self.depth == 1
            and self._tag_begin <= self._at
            and (data.endswith(b">") or data.rstrip(_BLANKS).endswith(b">"))
        )

    def forget(self) -> None:
        """Let go of the last stream's stanzas."""
        self._out = []
        self._builder = _NO_BUILDER

    def discard(self) -> None:
        """Break the circle of references with the parser, so that it is freed at once."""
        parser = self._parser
        parser.StartNamespaceDeclHandler = parser.StartElementHandler = None
        parser.EndElementHandler = parser.CharacterDataHandler = None
        parser.CommentHandler = parser.ProcessingInstructionHandler = None
        parser.StartDoctypeDeclHandler = parser.XmlDeclHandler = None

    def _check_unfinished(self) -> None:
        if self.depth == 0 and self.header is None and self.fed > MAX_TAG_BYTES:
            raise Violation(
                "policy-violation", f"a stream header may have at most {MAX_TAG_BYTES} bytes"
            )
        if self._tag_begin > self._at and self.fed - self._tag_begin > MAX_TAG_BYTES:
            raise Violation(
                "policy-violation", f"a tag in pieces may have at most {MAX_TAG_BYTES} bytes"
            )
        # The stanza's last tag may lie beyond the limit, so that chunks make no difference.
        if self.depth > 1 and self.fed - self._begin > self._limit + MAX_TAG_BYTES:
            raise self._too_long()

    def _too_long(self) -> Violation:
        return Violation("policy-violation", f"a stanza may have at most {self._limit} bytes")

    def _namespace(self, prefix: str | None, uri: str | None) -> None:
        self._namespaces[prefix] = uri or ""

    def _start(self, name: str, attrs: dict[str, str]) -> None:
        parser = self._parser
        at = self._at = parser.CurrentByteIndex
        depth = self.depth = self.depth + 1
        if depth == 2:
            if name in _MISTAKEN:
                raise Violation(
                    "invalid-namespace", f"a stanza must be in the namespace {NS_CLIENT}"
                )
            self._begin = at
            self._builder = TreeBuilder()
            parser.CharacterDataHandler = self._builder.data
        elif depth == 1:
            self._open(name, attrs)
            return
        elif depth > MAX_DEPTH + 1:
            raise Violation("policy-violation", f"elements may be nested at most {MAX_DEPTH} deep")
        for key in attrs:
            if "}" in key:
                attrs = {_tags.get(key) or _qualified(key): value for key, value in attrs.items()}
                break
        self._builder.start(_tags.get(name) or _qualified(name), attrs)

    def _end(self, name: str) -> None:
        parser = self._parser
        at = self._at = parser.CurrentByteIndex
        depth = self.depth = self.depth - 1
        if depth == 0:
            return
        element = self._builder.end(name)  # it checks nothing, expat did
        if depth == 1:
            if at - self._begin > self._limit:
                raise self._too_long()
            parser.CharacterDataHandler = self._between
            self._out.append(element)

    def _open(self, name: str, attrs: dict[str, str]) -> None:
        if name != _ROOT:
            if name.rpartition("}")[2] == "stream":
                raise Violation(
                    "invalid-namespace", f"the stream must be in the namespace {NS_STREAMS}"
                )
            raise Violation("bad-format", "the document must be a stream")
        if self._namespaces.get(None) != NS_CLIENT:
            raise Violation("invalid-namespace", f"the stream's content must be in {NS_CLIENT}")
        assert self._head is not None
        if self._namespaces != _STANDARD:
            tag = _START_TAG.match(self._head, self._at)
            assert tag is not None  # expat has read it to its end
            self.root = tag[0]
        self._head = None
        # Which prefixes stanzas declare is expat's business alone.
        self._parser.StartNamespaceDeclHandler = None
        self._namespaces = {}
        self.header = attrs

    def _between(self, text: str) -> None:
        if self.depth == 1 and text.strip(" \t\r\n"):
            raise Violation("bad-format", "there must be no text between stanzas")

    def _refuse_comment(self, _text: str) -> None:
        raise Violation("restricted-xml", "comments are not allowed")

    def _refuse_instruction(self, _target: str, _data: str) -> None:
        raise Violation("restricted-xml", "processing instructions are not allowed")

    def _refuse_doctype(self, *_: object) -> None:
        raise Violation("restricted-xml", "document type declarations are not allowed")

    def _declaration(self, _version: str, encoding: str | None, _standalone: int) -> None:
        if encoding is not None and encoding.upper() != "UTF-8":
            raise Violation("unsupported-encoding", "the encoding must be UTF-8")


_pool: list[_Machine] = []


class Framer:
    """Cuts one stream into stanzas.

    Attributes:
        header: The attributes of the server's stream header; None until it has come.
        closed: Whether the server closed the stream; what follows is not looked at.
        violation: What the server did wrong; what follows is not looked at.
    """

    __slots__ = ("_limit", "_machine", "_root", "closed", "header", "violation")

    def __init__(self, max_stanza_bytes: int = MAX_STANZA_BYTES) -> None:
        self._limit = max_stanza_bytes
        self._machine: _Machine | None = None
        self._root: bytes | None = None
        self.header: dict[str, str] | None = None
        self.closed = False
        self.violation: Violation | None = None

    def feed(self, data: bytes) -> list[Element]:
        """The stanzas that `data`, the stream's next bytes, complete; then see `violation`."""
        out: list[Element] = []
        if not data or self.closed or self.violation is not None:
            return out
        machine = self._machine
        if machine is None:
            if self.header is None:
                machine = _Machine()
            elif not data.strip(_BLANKS):
                return out  # a server that keeps the connection alive
            elif self._root is None and _pool:
                machine = _pool.pop()
            else:
                machine = _Machine.inside(self._root)
            self._machine = machine
        try:
            machine.feed(data, out, self._limit)
        except Violation as violation:
            if machine.depth or machine.header is None:
                self.violation = violation
            else:
                self.closed = True  # something follows the end of the stream: nobody's business
            self.discard()
            return out
        if self.header is None and machine.header is not None:
            self.header, self._root = machine.header, machine.root
        if machine.depth == 0 and machine.header is not None:
            self.closed = True
            self.discard()
        elif machine.idle(data):
            self._put_back(machine)
        return out

    def discard(self) -> None:
        """Free what is held for an unfinished stanza. The framer is of no more use inside one."""
        machine, self._machine = self._machine, None
        if machine is not None:
            machine.discard()

    @property
    def place(self) -> str:
        """Where in the stream the last byte was, for a person."""
        if self.header is None:
            return (
                "before the stream header" if self._machine is None else "inside the stream header"
            )
        return "between two stanzas" if self._machine is None else "inside a stanza"

    def _put_back(self, machine: _Machine) -> None:
        worn = machine.fed > WORN_BYTES
        if self._root is None:
            self._machine = None
            if worn or len(_pool) >= POOL_SIZE:
                machine.discard()
            else:
                machine.forget()
                _pool.append(machine)
        elif worn:
            self.discard()
