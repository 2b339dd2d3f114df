"""Pure. Reader for a server's HTTP/1.1 answers, one at a time and within limits."""

from __future__ import annotations

from typing import Final, NamedTuple

import httptools

from amoc.xmpp.wire.parser import Violation

MAX_HEAD_BYTES: Final = 16 << 10
"""Maximum size of the status line and all headers."""
SHOWN_BYTES: Final = 40
SWITCHING_PROTOCOLS: Final = 101


class Answer(NamedTuple):
    """A whole answer.

    Attributes:
        status: Its status code.
        reason: The reason phrase after the code; may be empty.
        headers: By lower-case name; the last of several with the same name.
        body: The body.
        keep_alive: Whether the connection can be used for another request.
        rest: Bytes after it: the beginning of the protocol that was switched to.
    """

    status: int
    reason: str
    headers: dict[str, str]
    body: bytes
    keep_alive: bool
    rest: bytes

    def __str__(self) -> str:
        return f"{self.status} {self.reason}".strip()


class _Parts:
    """Collects the parts of an answer; refers to the parser only while it runs (no cycle)."""

    __slots__ = ("body", "headers", "in_body", "parser", "reason", "surplus", "whole")

    def __init__(self) -> None:
        self.parser: httptools.HttpResponseParser | None = None
        self.surplus = False
        self.whole = False
        self.on_message_begin()

    def on_message_begin(self) -> None:
        self.surplus = self.whole
        self.reason = b""
        self.headers: dict[str, str] = {}
        self.body = bytearray()
        self.in_body = False

    def on_status(self, status: bytes) -> None:
        self.reason += status

    def on_header(self, name: bytes, value: bytes) -> None:
        self.headers[name.decode("latin-1").lower()] = value.decode("latin-1")

    def on_headers_complete(self) -> None:
        self.in_body = True

    def on_body(self, body: bytes) -> None:
        self.body += body

    def on_message_complete(self) -> None:
        assert self.parser is not None
        status = self.parser.get_status_code()
        if 100 <= status < 200 and status != SWITCHING_PROTOCOLS:
            self.on_message_begin()  # an interim answer ("100 Continue"): the final one follows
        else:
            self.whole = True


class AnswerReader:
    """Assembles one answer; create a new reader for the next.

    Attributes:
        begun: Whether any of it has arrived.
    """

    __slots__ = ("_fed", "_first", "_max_body_bytes", "_parser", "_parts", "begun")

    def __init__(self, max_body_bytes: int) -> None:
        """Create a reader for an answer whose body has at most `max_body_bytes` bytes."""
        self.begun = False
        self._max_body_bytes = max_body_bytes
        self._fed = 0
        self._first = b""
        self._parts = _Parts()
        self._parser = httptools.HttpResponseParser(self._parts)

    def feed(self, data: bytes) -> Answer | None:
        """Process the next bytes; return the answer if they complete it.

        Raises:
            Violation: They are not HTTP, or the answer is too long.
        """
        self.begun = True
        if len(self._first) < SHOWN_BYTES:
            self._first = (self._first + data)[:SHOWN_BYTES]
        parts = self._parts
        self._fed += len(data)
        rest = b""
        parts.parser = self._parser
        try:
            self._parser.feed_data(data)
        except httptools.HttpParserUpgrade as upgrade:
            rest = data[upgrade.args[0] :]
        except httptools.HttpParserError:
            raise self._not_http() from None
        finally:
            parts.parser = None
        if parts.surplus:
            raise Violation("bad-format", "the server answered one HTTP request twice")
        if not parts.in_body and self._fed > MAX_HEAD_BYTES:
            raise _too_long("the head of an HTTP answer", MAX_HEAD_BYTES)
        # In small chunks, a body takes several times its own length.
        if max(len(parts.body), (self._fed - MAX_HEAD_BYTES) // 8) > self._max_body_bytes:
            raise _too_long("an HTTP answer", self._max_body_bytes)
        if not parts.whole:
            return None
        return self._answer(self._parser.get_status_code(), rest)

    def end(self) -> Answer | None:
        """Handle the end of the connection; return the answer if it ends there.

        Raises:
            Violation: The data before is not HTTP.
        """
        parts = self._parts
        unbounded = not {"content-length", "transfer-encoding"} & parts.headers.keys()
        if parts.in_body and unbounded:
            return self._answer(self._parser.get_status_code(), b"")._replace(keep_alive=False)
        return None

    def _answer(self, status: int, rest: bytes) -> Answer:
        parts = self._parts
        reason = parts.reason.decode("latin-1")
        # The parser's own flag is valid only inside the answer: at its end it is reset.
        wish = parts.headers.get("connection", "").lower()
        keep = "close" not in wish and (
            self._parser.get_http_version() == "1.1" or "keep-alive" in wish
        )
        return Answer(status, reason, parts.headers, bytes(parts.body), keep, rest)

    def _not_http(self) -> Violation:
        shown = self._first.decode("latin-1")
        return Violation("bad-format", f"the server must answer in HTTP, got {shown!r}")


def _too_long(what: str, limit: int) -> Violation:
    return Violation("policy-violation", f"{what} may have at most {limit} bytes")
