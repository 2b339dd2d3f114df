"""Chat messages that look like an earlier one are read with a pattern instead of a parser.

In a load test nearly all messages from a server look alike. A parsed message becomes a pattern: its
markup is fixed, while attribute values and the body may be anything that a parser would return
unchanged. So whatever matches is well-formed, and its tree equals that of the first except for
these values. The tree is rarely needed, so it is made on demand (`Stanza.xml`).

Types and namespaces are part of the pattern. Messages with children other than `CHILDREN` are left
to the parser, as is everything except chat messages with a sender, an id and a body.
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
"""Children that a server or client may add without changing the meaning of a message."""
MAX_BYTES: Final = 16 << 10
"""Maximum size of input read this way, so that no limit of a parser can matter."""
MAX_PATTERN_BYTES: Final = 1024
"""Maximum size of a message that becomes a pattern."""
MAX_PATTERNS: Final = 32
"""Maximum patterns per process, as a server might give each message another shape."""
LOOK_EVERY: Final = 8
"""Number of mismatches after which another pattern is made."""

# Literal characters: no markup, no references, nothing that XML forbids or changes.
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


class PatternReader:
    """Reads bytes that are whole elements, like `WholeElements`.

    Attributes:
        patterns: All patterns made, by their source.
    """

    __slots__ = ("_is_id_first", "_match", "_misses", "_read_whole", "patterns")

    def __init__(self, read_whole: ReadWhole[Element] = read_whole) -> None:
        """Start without a pattern; `read_whole` reads whatever does not match."""
        self._read_whole = read_whole
        self._match: Match | None = None
        self._is_id_first = False
        self._misses = 0
        self.patterns: dict[str, re.Pattern[str]] = {}

    def read(self, data: bytes, max_bytes: int) -> list[Element | Stanza] | None:
        """Return the elements in `data`, see `WholeElements.read`; as stanzas if they match."""
        match, size = self._match, len(data)
        if match is not None and size <= MAX_BYTES and size <= max_bytes:
            try:
                text = data.decode()
            except UnicodeDecodeError:  # the parser rejects it
                return self._read_whole(data, max_bytes)  # type: ignore[return-value]
            stanzas: list[Element | Stanza] = []
            at, length = 0, len(text)
            while found := match(text, at):
                end = found.end()
                stanza = _new(Stanza)
                if self._is_id_first:
                    stanza.id, stanza.sender, stanza.body = found.groups()
                else:
                    stanza.sender, stanza.id, stanza.body = found.groups()
                stanza.tag = MESSAGE
                stanza.type = "chat"
                stanza._xml = stanza._stanza = None
                if end == length and not at:  # nearly always
                    stanza.raw = text
                    return [stanza]
                stanza.raw = text[at:end]
                stanzas.append(stanza)
                if end == length:
                    return stanzas
                at = end
        elements = self._read_whole(data, max_bytes)
        if elements is not None and len(elements) == 1 and elements[0].tag == MESSAGE:
            self._misses += 1
            if match is None or self._misses % LOOK_EVERY == 0:
                self._learn(elements[0], data)
        return elements  # type: ignore[return-value] # it contains no stanzas

    def _learn(self, message: Element, data: bytes) -> None:
        """Make a pattern from a message, if it is suitable."""
        source = pattern_of(message, data)
        if source is None:
            return
        pattern = self.patterns.get(source)
        if pattern is None:
            if len(self.patterns) == MAX_PATTERNS:
                return
            pattern = self.patterns[source] = re.compile(source)
        self._match = pattern.match
        self._is_id_first = pattern.groupindex["id"] == 1  # the body is always last


def pattern_of(message: Element, data: bytes) -> str | None:
    """Return a pattern for messages like this one, with the bytes `data`; None if unsuitable."""
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
    """Return the elements in `data`, which inherit the namespace of a BOSH ``<body/>``."""
    if len(data) > max_bytes:
        return None
    try:
        elements = list(PARSERS.read(_BODY + data + BODY_END))
    except Violation:
        return None
    for element in elements:
        element.tail = None
    return elements


stanza_reader: Final = PatternReader()
"""Shared by all clients of this process whose stanzas arrive in a stream, or alone."""
body_reader: Final = PatternReader(read_in_body)
"""Shared by clients whose stanzas arrive in a BOSH ``<body/>``."""
