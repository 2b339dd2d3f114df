"""Pure. The framing of RFC 7395: each message is one whole element that declares its namespaces.

``<open/>`` and ``<close/>`` replace the stream's tags. Used at both ends; `standalone` converts an
element of an RFC 6120 stream into a message.
"""

from __future__ import annotations

import re
from typing import Final, Generic

from amoc.xmpp.wire import namespaces as ns
from amoc.xmpp.wire.elements import STREAM_LANG
from amoc.xmpp.wire.framing import Reader
from amoc.xmpp.wire.namespaces import MESSAGE
from amoc.xmpp.wire.parser import T, Violation
from amoc.xmpp.wire.parsers import AnyReader, Parsers
from amoc.xmpp.wire.xml_text import escape

_FRAMING: Final = f"{{{ns.FRAMING}}}"
OPEN: Final = f"{_FRAMING}open"
CLOSE: Final = f"{_FRAMING}close"
CLOSING: Final = f"<close xmlns='{ns.FRAMING}'/>".encode()

# The start of an element that does not declare its namespace. Attribute values may hold anything.
_INHERITS: Final = re.compile(
    rb"<[^\s/>!?]+(?=(?:\s+(?!xmlns\s*=)[^\s=/>]+\s*=\s*(?:\"[^\"]*\"|'[^']*'))*\s*/?>)"
)
_MESSAGE: Final = b"<message "
_STREAM_PREFIX: Final = b"<stream:"
_CLIENT: Final = f" xmlns='{ns.CLIENT}'".encode()
_STREAMS: Final = f" xmlns:stream='{ns.STREAMS}'".encode()


def opening(addresses: str) -> bytes:
    """Return an ``<open/>`` (section 3.4) with `addresses`, attributes as in `stream_header`."""
    return (
        f"<open xmlns='{ns.FRAMING}'{addresses} version='1.0' xml:lang='{STREAM_LANG}'/>"
    ).encode()


def standalone(data: bytes) -> bytes:
    """Return an element of a stream with the usual namespaces, with these declared in it."""
    if data[:9] == _MESSAGE and b"xmlns" not in data:  # nearly always
        return b"<message" + _CLIENT + data[8:]
    found = _INHERITS.match(data)
    if found is None:
        return data
    end = found.end()
    names = _STREAMS + _CLIENT if data.startswith(_STREAM_PREFIX) else _CLIENT
    return data[:end] + names + data[end:]


def _see_other_host(target: str) -> bytes:
    """Return the stream error equivalent to a ``<close/>`` with another address."""
    return (
        f"<stream:error><see-other-host xmlns='{ns.STREAM_ERRORS}'>{escape(target)}"
        "</see-other-host></stream:error>"
    ).encode()


class MessageFramer(Generic[T]):
    """Reads a stream message by message.

    Attributes:
        opening: Whether an ``<open/>`` is expected: at the beginning and after each restart.
        closed: Whether the stream is over, so that further input is ignored.
        max_bytes: Maximum length of a message; enforced by the reader of frames.
    """

    __slots__ = ("_parsers", "_read_whole", "closed", "max_bytes", "opening")

    # Like a `Framer` between two elements, in a stream with the usual namespaces.
    root = None
    parser = None
    unfinished = False

    def __init__(
        self, parsers: Parsers[T], max_bytes: int, read_whole: AnyReader | None = None
    ) -> None:
        """Start a stream.

        Args:
            parsers: The pool of parsers.
            max_bytes: Maximum length of a message.
            read_whole: Used instead of that of `parsers` for message stanzas; may return elements
                of any kind that have a `tag`.
        """
        self._parsers = parsers
        self._read_whole = read_whole
        self.max_bytes = max_bytes
        self.closed = False
        self.opening = True

    @property
    def place(self) -> str:
        """Position in the stream after the last message, in words."""
        return "before the stream was opened" if self.opening else "between two stanzas"

    def header(self, addresses: str) -> bytes:
        """Return the start of our stream."""
        return opening(addresses)

    def ending(self) -> bytes:
        """Return the end of our stream."""
        return CLOSING

    def feed(self, data: list[bytes], reader: Reader[T]) -> None:
        """Process the messages in `data`, and pass their content to `reader`.

        Raises:
            Violation: One of them is not allowed at this point.
        """
        for message in data:
            if self.closed:
                return
            if self._read_whole is not None and not self.opening and message[:9] == _MESSAGE:
                elements = self._read_whole(message, len(message))
                if elements is not None and len(elements) == 1 and elements[0].tag == MESSAGE:
                    reader.on_element(elements[0])
                    continue
            if message and not message.isspace():  # whitespace keeps the connection alive
                self._read(message, reader)

    def _read(self, data: bytes, reader: Reader[T]) -> None:
        element = self._parsers.read(data)
        tag, attrs = self._parsers.head(element)
        if not self.opening and not tag.startswith(_FRAMING):
            reader.on_element(element)
        elif tag == CLOSE:
            self.closed = True
            target = attrs.get("see-other-uri")  # section 3.6.1
            if target is None:
                reader.on_close()
            else:
                reader.on_element(self._parsers.read(_see_other_host(target)))
        elif tag == OPEN and self.opening:
            self.opening = False
            reader.on_header(attrs)
        elif self.opening:
            raise Violation("bad-format", "a stream must begin with <open/>")
        else:
            raise Violation("bad-format", "a stream must be opened once")

    def restart(self) -> None:
        """Expect an ``<open/>``."""
        self.opening = True

    def limit(self, max_bytes: int) -> None:
        """Limit the length of messages from the next one on."""
        self.max_bytes = max_bytes

    def close(self) -> None:
        """Stop reading."""
        self.closed = True
