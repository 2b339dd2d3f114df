"""Chat messages that look like one before them are read by a pattern, in place of a parser.

In a load test nearly all messages of a server are alike. One that was parsed becomes a pattern: its
markup stays as it is, while the values of its attributes and its body may be whatever a parser
would take as it stands. So what matches is well-formed, and its tree is that of the first but for
these values. Nearly nobody looks at the tree, which is made when somebody does (`Stanza.xml`).

Types and namespaces are part of the pattern. Messages with other children than `CHILDREN` are left
to the parser, as is all that is not a chat message from somebody with an id and a body.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Final
from xml.etree.ElementTree import Element

from amoc.xmpp.stanza import BODY, PARSERS, Stanza, read_whole
from amoc.xmpp.wire import namespaces as ns
from amoc.xmpp.wire.bosh import BODY_END
from amoc.xmpp.wire.namespaces import MESSAGE
from amoc.xmpp.wire.parser import Violation
from amoc.xmpp.wire.parsers import ReadWhole

CHILDREN: Final = frozenset(f"{{{ns.STANZA_IDS}}}{name}" for name in ("stanza-id", "origin-id"))
"""What a server or client may add without saying anything about the message."""
MAX_BYTES: Final = 16 << 10
"""Of what is read so, which no limit of depth or length of a parser can matter to."""
MAX_PATTERN_BYTES: Final = 1024
"""Of a message that becomes a pattern."""
MAX_PATTERNS: Final = 32
"""That are made in the life of a process; a server might give each message another shape."""
LOOK_EVERY: Final = 8
"""So many messages that the pattern does not match call for another pattern."""

# What stands for itself: no markup, no reference, nothing that XML forbids, or changes.
_VALUE: Final = r"[ !#-%(-;=?-~]*+"
_TEXT: Final = r"[\t\n -%'-;=?-~\x80-\ufffd]*+"
_TOKEN: Final = re.compile(
    r" (?P<name>[A-Za-z_][\w.:-]*)=(?P<quote>['\"])[^'\"<>&]*(?P=quote)"
    r"|(?P<body><body>)[^<>&]*</body>|</?[A-Za-z_][\w.-]*|/?>",
    re.ASCII,
)
_BODY: Final = f"<body xmlns='{ns.BOSH}'>".encode()
_new: Final = object.__new__

Match = Callable[[str, int], re.Match[str] | None]


class Alike:
    """Reads bytes that are whole elements, like `WholeElements`.

    Attributes:
        patterns: All that were made, by their source.
    """

    __slots__ = ("_match", "_misses", "_order", "_read_whole", "patterns")

    def __init__(self, read_whole: ReadWhole[Element] = read_whole) -> None:
        """It knows no message yet; `read_whole` reads what is not like one."""
        self._read_whole = read_whole
        self._match: Match | None = None
        self._order: tuple[int, ...] = ()
        self._misses = 0
        self.patterns: dict[str, re.Pattern[str]] = {}

    def read(self, data: bytes, max_bytes: int) -> list[Element | Stanza] | None:
        """The elements that `data` is, see `WholeElements.read`; as stanzas if they are alike."""
        match = self._match
        if match is not None and len(data) <= MAX_BYTES and len(data) <= max_bytes:
            try:
                text = data.decode()
            except UnicodeDecodeError:  # for the parser to refuse
                return self._read_whole(data, max_bytes)  # type: ignore[return-value]
            stanzas: list[Element | Stanza] = []
            at, length = 0, len(text)
            while found := match(text, at):
                begin, at = at, found.end()
                stanza = _new(Stanza)
                stanza.sender, stanza.id, stanza.body = found.group(*self._order)
                stanza.tag = MESSAGE
                stanza.type = "chat"
                stanza.raw = text[begin:at]
                stanza._xml = stanza._stanza = None
                stanzas.append(stanza)
                if at == length:
                    return stanzas
        elements = self._read_whole(data, max_bytes)
        if elements is not None and len(elements) == 1 and elements[0].tag == MESSAGE:
            self._misses += 1
            if match is None or self._misses % LOOK_EVERY == 0:
                self._learn(elements[0], data)
        return elements  # type: ignore[return-value] # nobody puts a stanza into it

    def _learn(self, message: Element, data: bytes) -> None:
        """Read the next messages like this one, if it is one for that."""
        source = pattern_of(message, data)
        if source is None:
            return
        pattern = self.patterns.get(source)
        if pattern is None:
            if len(self.patterns) == MAX_PATTERNS:
                return
            pattern = self.patterns[source] = re.compile(source)
        self._match = pattern.match
        names = pattern.groupindex
        self._order = (names["sender"], names["id"], names["body"])


def pattern_of(message: Element, data: bytes) -> str | None:
    """What matches a message like this one, whose bytes are `data`; None where that is not sure."""
    kinds = [child.tag for child in message if child.tag not in CHILDREN or len(child)]
    if message.get("type") != "chat" or kinds != [BODY] or len(data) > MAX_PATTERN_BYTES:
        return None
    text = data.decode()
    at, parts, head = 0, [], text.find(">")
    while at < len(text):
        token = _TOKEN.match(text, at)
        if token is None:
            return None
        begin, at = at, token.end()
        name, quote = token["name"], token["quote"]
        if token["body"]:
            parts.append(f"<body>(?P<body>{_TEXT})</body>")
        elif name is None or name == "type" or name.startswith("xmlns"):
            parts.append(re.escape(token[0]))
        elif begin < head and name in ("from", "id"):
            group = "sender" if name == "from" else "id"
            parts.append(f" {name}={quote}(?P<{group}>{_VALUE}){quote}")
        else:
            parts.append(f" {re.escape(name)}={quote}{_VALUE}{quote}")
    source = "".join(parts)
    return source if all(f"(?P<{one}>" in source for one in ("sender", "id", "body")) else None


def read_in_body(data: bytes, max_bytes: int) -> list[Element] | None:
    """The elements that `data` is inside a ``<body/>`` of BOSH, which they inherit from."""
    if len(data) > max_bytes:
        return None
    try:
        elements = list(PARSERS.read(_BODY + data + BODY_END))
    except Violation:
        return None
    for element in elements:
        element.tail = None
    return elements


alike: Final = Alike()
"""For all clients of this process whose stanzas stand in a stream, or alone."""
alike_in_body: Final = Alike(read_in_body)
"""For those whose stanzas stand in a ``<body/>`` of BOSH."""
