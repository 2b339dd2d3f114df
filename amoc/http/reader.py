"""Pure. Parsing of the responses on one connection, one after another and within size limits.

llhttp finds the ends of messages. It is strict: ambiguous messages are refused. Heads stay in bytes
(`amoc.http.headers`), as most are never read. Known heads skip the parser (`amoc.http.known`).
"""

from __future__ import annotations

from typing import Final, Protocol

import httptools

from amoc.http.headers import Headers, span_of, value_of
from amoc.http.known import EMPTY, Known, KnownHeads

MAX_HEAD_BYTES: Final = 64 << 10
"""Maximum size of a response's head, interim ones included."""
MAX_PARTS: Final = 256
"""Pieces of a body to collect before they are joined. Small pieces have much overhead."""
_BOTH: Final = (None, None)
"""The two bounds of a message: its start and its end."""
known_heads = KnownHeads()
"""The known heads of this worker."""


class Violation(Exception):
    """The response breaks a rule of HTTP, or a limit.

    Attributes:
        cause: The cause of failure to count it under.
    """

    def __init__(self, cause: str, why: str) -> None:
        super().__init__(why)
        self.cause = cause


class Wanted(Protocol):
    """The parts of `amoc.http.call.Terms` that a reader needs."""

    @property
    def bodyless(self) -> bool: ...  # noqa: D102
    @property
    def max_body(self) -> int: ...  # noqa: D102
    @property
    def streams(self) -> bool: ...  # noqa: D102
    @property
    def whole_most(self) -> int: ...  # noqa: D102


class Reader:
    """Parses responses.

    Attributes:
        body: The body of a known response, until it is taken.
        complete: Whether the response is complete.
        in_body: Whether its head is complete.
        interim: Number of interim responses before it.
        is_new: Whether its head should be remembered.
        keep_alive: Whether the connection can be reused after it.
        known: The known response that the last one was, if its head was parsed before.
        parts: Pieces of the body that were received but not taken.
        received: Number of bytes received of it.
        status: The last status received.
        terms: How the response is to be read.
    """

    __slots__ = (
        *("_body", "_bounds", "_head", "_parser", "body", "complete", "in_body", "interim"),
        *("is_new", "keep_alive", "known", "on_body", "on_message_begin", "on_message_complete"),
        *("parts", "received", "status", "terms"),
    )

    def __init__(self) -> None:
        self.parts: list[bytes] = []
        # These are C functions, because a call of a Python function would take longer than the
        # parser's own work. Each message pops two bounds from the list, for its start and its end.
        # When the list is empty pop raises, so the parser fails on anything after the response.
        self._bounds: list[None] = []
        self.on_message_begin = self.on_message_complete = self._bounds.pop
        self.on_body = self.parts.append
        self._parser = httptools.HttpResponseParser(self)
        self._body: bytearray | None = None
        self._head = self.body = b""
        self.known: Known | None = None
        self.keep_alive = self.is_new = self.complete = self.in_body = False
        self.interim = self.received = self.status = 0

    def begin(self, terms: Wanted) -> None:
        """Expect the response to the next request. `terms.max_body` does not apply to streams."""
        self.terms = terms
        self.complete = self.in_body = False
        self.interim = self.received = 0

    def on_headers_complete(self) -> None:
        """Handle a complete head, final or interim. Called by the parser."""
        status = self.status = self._parser.get_status_code()
        if status >= 200:
            self.in_body = True
            self.keep_alive = self._parser.should_keep_alive()
        else:
            self.interim += 1
            self._bounds.extend(_BOTH)

    def feed(self, data: bytes) -> None:
        """Process the next bytes.

        Raises:
            Violation: They are not HTTP, or exceed a limit.
        """
        if self.received:
            self._parse(data)
            return
        known = self.known  # of the previous response
        if known is None or len(data) != known.size or data[known.front] != known.start:
            if known_heads.rest:
                known_heads.rest -= 1
                known, self.is_new = None, False
            else:
                known, self.is_new = known_heads.find(data, known is not None), True
        if known is not None and known.size <= self.terms.whole_most:
            self.known = known
            self.received = known.size
            self.status = known.status
            self.body = data[known.body]
            self.complete = self.in_body = self.keep_alive = True
        else:
            self.known, self._head = None, b""
            self.status = 0
            self._bounds.extend(_BOTH)
            self._parse(data)

    def _parse(self, data: bytes) -> None:
        self.received += len(data)
        if not self.in_body:
            self._head += data
        try:
            self._parser.feed_data(data)
        except httptools.HttpParserUpgrade:
            raise Violation("malformed answer", "it must not switch protocols unasked") from None
        except httptools.HttpParserError as error:
            if self._bounds:
                raise Violation("malformed answer", f"it must answer in HTTP ({error})") from None
            self.complete = True
            raise _surplus() from None
        if not self._bounds:
            self.complete = True
            if self.parts and self.terms.bodyless:
                raise _surplus()
        elif self.in_body:
            self._go_on()
        elif len(self._head) > MAX_HEAD_BYTES:
            raise _too_large("head", MAX_HEAD_BYTES)
        if self.received > self.terms.max_body and self.in_body:
            self._check_size()

    def remember(self, head: bytes, heeded: Headers | None) -> None:
        """Remember the head of this response, if it arrived in one piece and without chunks.

        Args:
            head: The complete head.
            heeded: See `Known`.
        """
        size, parts = self.received, self.parts
        if not self.keep_alive or self.interim or size > self.terms.whole_most:
            return
        if size != len(self._head) or len(parts) > 1:
            return  # it took several reads, or has chunks
        if len(head) + len(EMPTY) + (len(parts[0]) if parts else 0) == size:
            known_heads.learn(head, size, self.status, heeded)

    def _check_size(self) -> None:
        _, body = span_of(self._head, self.interim)
        if self.received - body > self.terms.max_body and not self.terms.streams:
            raise _too_large("body", self.terms.max_body)

    def _go_on(self) -> None:
        """Continue with the body, after the head is complete and unless the parser saw the end."""
        if self.terms.bodyless:
            # The parser would wait for a body, so it is replaced.
            is_new = self._parser.get_http_version() == "1.1"
            self._parser = httptools.HttpResponseParser(self)
            self._bounds.clear()
            self.complete = True
            self.keep_alive = is_new and "close" not in value_of(self.head(), b"connection").lower()
            if self.parts:
                raise _surplus()
        elif self.terms.streams:
            return
        elif len(self.parts) > MAX_PARTS:
            if self._body is None:
                self._body = bytearray()
            self._body += b"".join(self.parts)
            self.parts.clear()

    def end(self) -> bool:
        """Handle the end of the connection. Return whether that completes the response."""
        head = self.head() if self.in_body else b""
        if not self.in_body or value_of(head, b"content-length"):
            return False
        if "chunked" in value_of(head, b"transfer-encoding").lower():
            return False
        self.complete = True
        return True

    def head(self) -> bytes:
        """Return the head of the response, without interim ones."""
        if self.known is not None:
            return self.known.head
        head = self._head
        if not self.interim and (end := head.find(EMPTY)) >= 0:
            return head[:end]
        span, _ = span_of(head, self.interim)
        return head[span]

    def take(self) -> bytes:
        """Return, and remove, the received part of the body."""
        if self.known is not None:
            body, self.body = self.body, b""
            return body
        parts = self.parts
        if self._body is None:
            if len(parts) == 1:
                return parts.pop()
            body = b"".join(parts)
        else:
            body = bytes(self._body) + b"".join(parts)
            self._body = None
        parts.clear()
        return body

    def close(self) -> None:
        """Release the parser, to break a reference cycle. What was received can still be taken."""
        del self._parser


def _surplus() -> Violation:
    return Violation("malformed answer", "it must answer a request once, but sent more")


def _too_large(part: str, most: int) -> Violation:
    return Violation("answer too large", f"its {part} must have at most {most} bytes")
