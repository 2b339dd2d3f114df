"""Pure. The framing of RFC 7395: each message is one element, whole and with its own namespaces.

``<open/>`` and ``<close/>`` take the place of the stream's tags. Both ends use this: what stands in
a stream of RFC 6120 becomes a message by `standalone`.
"""

from __future__ import annotations

import re
from typing import Any, Final, Generic

from amoc.xmpp.wire import namespaces as ns
from amoc.xmpp.wire.elements import STREAM_LANG
from amoc.xmpp.wire.framing import Reader
from amoc.xmpp.wire.namespaces import MESSAGE
from amoc.xmpp.wire.parser import T, Violation
from amoc.xmpp.wire.parsers import Parsers, ReadWhole
from amoc.xmpp.wire.xml_text import escape

_FRAMING: Final = f"{{{ns.FRAMING}}}"
OPEN: Final = f"{_FRAMING}open"
CLOSE: Final = f"{_FRAMING}close"
CLOSING: Final = f"<close xmlns='{ns.FRAMING}'/>".encode()

# The start of an element that does not say which namespace it is in. Values may hold anything.
_INHERITS: Final = re.compile(
    rb"<[^\s/>!?]+(?=(?:\s+(?!xmlns\s*=)[^\s=/>]+\s*=\s*(?:\"[^\"]*\"|'[^']*'))*\s*/?>)"
)
_MESSAGE: Final = b"<message "
_STREAM_PREFIX: Final = b"<stream:"
_CLIENT: Final = f" xmlns='{ns.CLIENT}'".encode()
_STREAMS: Final = f" xmlns:stream='{ns.STREAMS}'".encode()


def opening(addresses: str) -> bytes:
    """An ``<open/>`` (section 3.4) with `addresses`, attributes such as ``" to='localhost'"``."""
    return (
        f"<open xmlns='{ns.FRAMING}'{addresses} version='1.0' xml:lang='{STREAM_LANG}'/>"
    ).encode()


def standalone(data: bytes) -> bytes:
    """An element of a stream with the usual namespaces, with these as its own."""
    if data[:9] == _MESSAGE and b"xmlns" not in data:  # as nearly all
        return b"<message" + _CLIENT + data[8:]
    found = _INHERITS.match(data)
    if found is None:
        return data
    end = found.end()
    names = _STREAMS + _CLIENT if data.startswith(_STREAM_PREFIX) else _CLIENT
    return data[:end] + names + data[end:]


def _see_other_host(target: str) -> bytes:
    """The stream error that says the same as a ``<close/>`` with another address."""
    return (
        f"<stream:error><see-other-host xmlns='{ns.STREAM_ERRORS}'>{escape(target)}"
        "</see-other-host></stream:error>"
    ).encode()


class MessageFramer(Generic[T]):
    """Reads a stream, message by message.

    Attributes:
        opening: Whether it waits for an ``<open/>``, at the beginning and after each restart.
        closed: Whether the stream is over; what follows is not looked at.
        max_bytes: How long a message may be; it is for the reader of frames to see to that.
    """

    __slots__ = ("_parsers", "_read_whole", "closed", "max_bytes", "opening")

    # As of a `Framer` between two elements, in a stream with the usual namespaces.
    root = None
    parser = None
    unfinished = False

    def __init__(
        self, parsers: Parsers[T], max_bytes: int, read_whole: ReadWhole[Any] | None = None
    ) -> None:
        """Make one.

        Args:
            parsers: Read the messages.
            max_bytes: How long a message may be.
            read_whole: In place of that of `parsers` for stanzas that are messages, with elements
                of whatever kind that know their `tag`.
        """
        self._parsers = parsers
        self._read_whole = read_whole
        self.max_bytes = max_bytes
        self.closed = False
        self.opening = True

    @property
    def place(self) -> str:
        """Where in the stream the last message was, for a person."""
        return "before the stream was opened" if self.opening else "between two stanzas"

    def header(self, addresses: str) -> bytes:
        """What begins our stream."""
        return opening(addresses)

    def ending(self) -> bytes:
        """What ends our stream."""
        return CLOSING

    def feed(self, data: list[bytes], reader: Reader[T]) -> None:
        """Tell `reader` what the messages `data` are.

        Raises:
            Violation: One of them is not what may come now.
        """
        for message in data:
            if self.closed:
                return
            if self._read_whole is not None and not self.opening and message[:9] == _MESSAGE:
                elements = self._read_whole(message, len(message))
                if elements is not None and len(elements) == 1 and elements[0].tag == MESSAGE:
                    reader.on_element(elements[0])
                    continue
            if message and not message.isspace():  # that keeps the connection alive
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
        """Expect an ``<open/>`` next."""
        self.opening = True

    def limit(self, max_bytes: int) -> None:
        """Limit the length of messages from the next one on."""
        self.max_bytes = max_bytes

    def close(self) -> None:
        """Read no further."""
        self.closed = True
