"""Pure. BOSH (XEP-0124, XEP-0206): a stream as pairs of HTTP requests and answers, without HTTP.

The body of a request wraps what the client sends, that of an answer what the server sends. The
server holds up to `hold` requests until it has something to send, for at most `wait` seconds, so
there is always one for it to answer. Requests are numbered (rid). The server processes them, and
the client their answers, in this order, over whichever connection they arrive.
"""

from __future__ import annotations

import random
import re
from contextlib import suppress
from typing import Final, NamedTuple
from xml.etree.ElementTree import Element, SubElement

from amoc.xmpp.wire import namespaces as ns
from amoc.xmpp.wire import sasl
from amoc.xmpp.wire.elements import STREAM_LANG
from amoc.xmpp.wire.framing import Reader
from amoc.xmpp.wire.message_framing import standalone
from amoc.xmpp.wire.namespaces import FEATURES, MESSAGE, STREAM_ERROR
from amoc.xmpp.wire.parser import Violation
from amoc.xmpp.wire.parsers import AnyReader, Parsers
from amoc.xmpp.wire.xml_text import escape

BODY: Final = f"{{{ns.BOSH}}}body"
BODY_START: Final = b"<body "
BODY_END: Final = b"</body>"
MAX_FIRST_RID: Final = 1 << 52
"""Leaves room below 2**53, which no number may exceed."""
MAX_REQUESTS: Final = 10
"""Maximum concurrent requests, whatever a server allows."""
MAX_WAIT_S: Final = 3600
MIN_POLL_S: Final = 1.0
"""Minimum time between two empty requests if the server does not hold them."""

_BEFORE_CLIENT: Final = frozenset((FEATURES, sasl.CHALLENGE, sasl.SUCCESS, sasl.FAILURE))
"""Elements after which the client is the next to send something."""
_TERMINATES: Final = re.compile(rb"\s*<body\b[^>]*?\stype\s*=\s*[\"']terminate[\"']")
_VERSION: Final = f"{{{ns.XBOSH}}}version"
_URI: Final = f"{{{ns.BOSH}}}uri"
_NAMESPACE: Final = f"{{{ns.BOSH}}}"


def ends_session(body: bytes) -> bool:
    """Return whether the body of an answer ends the session."""
    return b"terminate" in body and _TERMINATES.match(body) is not None


class Polling(NamedTuple):
    """How a session polls the server."""

    wait: int
    """Maximum seconds that the server may hold a request."""
    hold: int
    """Maximum number of requests that it may hold."""
    requests: int
    """Maximum number of concurrent requests."""


class Dialogue:
    """The client's side of a session, and the framing of the stream in it.

    Attributes:
        closed: Whether the stream is over, so that further input is ignored.
        idle: Whether the last answer was empty.
        opening: Whether the features of a stream are expected: at the beginning and after a
            restart.
        polling: The requested values; after the first answer, those that the server agreed to.
        poll_s: Seconds between two empty requests if the first one's answer is empty.
        sid: The session's id; empty until the first answer.
        unsent: Bytes that are not in a request yet.
    """

    __slots__ = (
        "_begin",
        "_begun",
        "_end",
        "_ended",
        "_head",
        "_is_our_turn",
        "_known_head",
        "_parsers",
        "_payloads",
        "_read_whole",
        "_rid",
        "_version",
        "closed",
        "idle",
        "opening",
        "poll_s",
        "polling",
        "sid",
        "unsent",
    )

    def __init__(
        self, parsers: Parsers[Element], polling: Polling, read_whole: AnyReader | None = None
    ) -> None:
        """Start a session.

        Args:
            parsers: The pool of parsers.
            polling: The values to request.
            read_whole: Used instead of `parsers` for the content of an answer that has a known head
                and begins with a message; may return elements of any kind that have a `tag`.
        """
        self._parsers = parsers
        self._read_whole = read_whole
        self._head = self._known_head = b""  # of the last answer; of two answers in a row
        self._payloads: list[bytes] = []
        self._rid = random.randint(1, MAX_FIRST_RID)
        self._begin = ""  # attributes of a request that begins a stream
        self._begun = False
        self._end = False
        self._ended = False
        self._is_our_turn = False  # the server has nothing to send before we have
        self._version = ""
        self.polling = polling
        self.poll_s = MIN_POLL_S
        self.closed = False
        self.idle = False
        self.opening = True
        self.sid = ""
        self.unsent = 0

    # The framing

    @property
    def place(self) -> str:
        """Position in the stream after the last answer, in words."""
        return "before the stream was opened" if self.opening else "between two stanzas"

    def header(self, addresses: str) -> bytes:
        """Make the next request begin or restart the stream (XEP-0206 sections 3 and 5)."""
        if self._begun:
            self._begin = f"{addresses} xml:lang='{STREAM_LANG}' xmpp:restart='true'"
        else:
            wait, hold, _ = self.polling
            self._begin = (
                f"{addresses} xml:lang='{STREAM_LANG}' wait='{wait}' hold='{hold}' ver='1.6'"
                " content='text/xml; charset=utf-8' xmpp:version='1.0'"
            )
        return b""

    def ending(self) -> bytes:
        """Make the next request end the session (XEP-0124 section 13)."""
        self._end = True
        return b""

    def restart(self) -> None:
        """Expect the features of a new stream."""
        self.opening = True

    def close(self) -> None:
        """Stop reading."""
        self.closed = True

    def feed(self, data: bytes, reader: Reader[Element]) -> None:
        """Process `data`, the body of an answer, and pass its content to `reader`.

        Raises:
            Violation: It is not allowed at this point.
        """
        if self.closed or self._has_read(data, reader):
            return
        body = self._parsers.read(data)
        if body.tag != BODY:
            raise Violation("bad-format", f"an answer must be a <body/> of BOSH, got {body.tag}")
        if not self.sid:
            self._agree(body)
        self.idle = not len(body)
        for child in body:
            if self.closed:
                return
            self._take(child, reader)
        if body.get("type") == "terminate" and not self.closed:
            self._terminate(body, reader)
        elif self._read_whole is not None:
            self._learn(data)

    def _learn(self, data: bytes) -> None:
        """Remember the head of an answer if the previous one had the same: it has been parsed."""
        if not data.startswith(BODY_START) or not data.endswith(BODY_END):
            return
        head = data[: data.find(b">") + 1]
        if head != self._head:
            self._head = head
        elif head != self._known_head:
            with suppress(Violation):  # if a value contains a ">"
                self._parsers.read(head + BODY_END)
                self._known_head = head

    def _has_read(self, data: bytes, reader: Reader[Element]) -> bool:
        """Pass the messages in an answer with a known head to `reader`; False if there is more."""
        head = self._known_head
        if not head or self.opening or not data.startswith(head) or not data.endswith(BODY_END):
            return False
        inner = data[len(head) : -len(BODY_END)]
        if self._read_whole is None or not inner.startswith(b"<message "):
            return False
        elements = self._read_whole(inner, len(inner))
        if elements is None or any(element.tag != MESSAGE for element in elements):
            return False
        self.idle = False
        for element in elements:
            if self.closed:
                break
            reader.on_element(element)
        return True

    def _take(self, child: Element, reader: Reader[Element]) -> None:
        if child.tag.startswith(_NAMESPACE):
            if child.tag == _URI:
                return
            raise Violation("invalid-namespace", "a stanza must not be in the namespace of BOSH")
        if self.opening and child.tag != STREAM_ERROR:
            if child.tag != FEATURES:
                raise Violation("bad-format", f"stream features must come first, got {child.tag}")
            self.opening = False
            reader.on_header({"version": self._version})
        self._is_our_turn = child.tag in _BEFORE_CLIENT
        child.tail = None
        reader.on_element(child)

    def _agree(self, body: Element) -> None:
        """Read the server's terms of the session (section 7.2)."""
        self.sid = body.get("sid", "")
        if not self.sid and body.get("type") != "terminate":
            raise Violation("bad-format", "the first answer must have a sid")
        self._version = body.get(_VERSION, "")
        asked = self.polling
        hold = _number(body, "hold", asked.hold)
        self.polling = Polling(
            wait=min(_number(body, "wait", asked.wait), asked.wait),
            hold=hold,
            requests=max(1, min(_number(body, "requests", hold + 1), asked.requests)),
        )
        self.poll_s = max(MIN_POLL_S, _number(body, "polling", 0))

    def _terminate(self, body: Element, reader: Reader[Element]) -> None:
        """Process the server's end of the session (section 17.2): an error if it has a reason."""
        self.closed = True
        condition = body.get("condition")
        if condition is None or self._ended:  # we ended it, and some servers give that as a reason
            reader.on_close()
            return
        error = Element(STREAM_ERROR)
        name = "see-other-host" if condition == "see-other-uri" else condition
        SubElement(error, f"{{{ns.STREAM_ERRORS}}}{name}").text = body.findtext(_URI)
        reader.on_element(error)

    # The requests

    def add(self, element: bytes) -> None:
        """Add `element` to the next request."""
        if element:
            self._payloads.append(standalone(element))
            self.unsent += len(element)

    def wants_request(self, under_way: int) -> bool:
        """Return whether there is something to send, and the rules allow to send it now.

        Args:
            under_way: Number of requests that wait for their answers.
        """
        if self._ended or (under_way and not self.sid):
            return False  # the first request must be answered before the second is sent
        if self._end and self.sid:
            return under_way <= self.polling.requests  # one more than usual
        return bool(self._payloads or self._begin) and under_way < self.polling.requests

    def wants_poll(self, under_way: int) -> bool:
        """Return whether an empty request must be sent, for the server to answer.

        Not in the client's turn of a login, such as while it computes its answer to a challenge.
        """
        if under_way or self._is_our_turn:
            return False
        return bool(self.sid) and not self._ended and not self.closed

    def request(self) -> tuple[int, bytes]:
        """Return the next request: its number and its body."""
        self._rid += 1
        self._is_our_turn = False
        sid = f" sid='{escape(self.sid)}'" if self.sid else ""
        end = ""
        if self._end and self.sid:
            self._ended = True
            end = " type='terminate'"
        payload = b"".join(self._payloads)
        begin, self._begin = self._begin, ""
        self._begun = True
        names = f" xmlns:xmpp='{ns.XBOSH}'" if begin else ""
        if b"<stream:" in payload:
            names += f" xmlns:stream='{ns.STREAMS}'"
        self._payloads = []
        self.unsent = 0
        head = f"<body xmlns='{ns.BOSH}'{names} rid='{self._rid}'{sid}{begin}{end}"
        return self._rid, head.encode() + (b">" + payload + b"</body>" if payload else b"/>")


def _number(body: Element, name: str, default: int) -> int:
    """Return an attribute that is a whole number, within the allowed range."""
    text = body.get(name, "")
    if not (text.isascii() and text.isdigit() and len(text) <= 9):
        return default
    limit = MAX_REQUESTS if name in ("hold", "requests") else MAX_WAIT_S
    return min(int(text), limit)
