"""Pure. Reads the answers to requests on one connection, one after another and within limits.

llhttp finds where messages end; it is strict, so what could be read in two ways is refused. Heads
stay bytes (`amoc.http.headers`), for most of them nobody looks at.
Answers whose heads were read before need no parser (`amoc.http.known`).
"""

from __future__ import annotations

from typing import Final, Protocol

import httptools

from amoc.http.headers import Headers, span_of, value_of
from amoc.http.known import EMPTY, Known, KnownHeads

MAX_HEAD_BYTES: Final = 64 << 10
"""Of an answer's head, interim ones included."""
MAX_PARTS: Final = 256
"""Pieces of a body that are kept before they are put together: small chunks have overhead."""
_BOTH: Final = (None, None)
"""Where an answer begins, and where it ends."""
known_heads = KnownHeads()
"""Those of this worker."""


class Violation(Exception):
    """What came is no answer.

    Attributes:
        cause: In a few words.
    """

    def __init__(self, cause: str, why: str) -> None:
        super().__init__(why)
        self.cause = cause


class Wanted(Protocol):
    """What a reader has to know of a request (`amoc.http.call.Terms`)."""

    @property
    def bodyless(self) -> bool: ...  # noqa: D102
    @property
    def max_body(self) -> int: ...  # noqa: D102
    @property
    def streams(self) -> bool: ...  # noqa: D102
    @property
    def whole_most(self) -> int: ...  # noqa: D102


class Reader:
    """Puts answers together.

    Attributes:
        complete: Whether the answer is there.
        in_body: Whether its head is.
        interim: How many interim answers came before it.
        is_new: Whether its head is to be remembered.
        keep_alive: Whether the connection can be used for another request, once it is complete.
        known: What the last answer that came was known by, if its head was read before.
        parts: What has come of its body and was not taken.
        received: Bytes that have come of it.
        status: The last status that came.
        terms: How the request is answered.
    """

    __slots__ = (
        *("_body", "_bounds", "_head", "_parser", "complete", "in_body", "interim", "is_new"),
        *(
            "keep_alive",
            "known",
            "on_body",
            "on_message_begin",
            "on_message_complete",
            "parts",
            "received",
        ),
        *("status", "terms"),
    )

    def __init__(self) -> None:
        self.parts: list[bytes] = []
        # Without functions of ours in between, for a call of one takes the parser longer than what
        # it does. Each answer takes two bounds from those that are left, where it begins and where
        # it ends; where none is left the parser fails, which is what more than an answer deserves.
        self._bounds: list[None] = []
        self.on_message_begin = self.on_message_complete = self._bounds.pop
        self.on_body = self.parts.append
        self._parser = httptools.HttpResponseParser(self)
        self._body: bytearray | None = None
        self._head = b""
        self.known: Known | None = None
        self.keep_alive = self.is_new = self.complete = self.in_body = False
        self.interim = self.received = self.status = 0

    def begin(self, terms: Wanted) -> None:
        """Expect the answer to the next request; the body of a stream may be of any length."""
        self.terms = terms
        self.complete = self.in_body = False
        self.interim = self.received = 0

    def on_headers_complete(self) -> None:
        """The parser: a head is there, of the answer or of an interim one."""
        status = self.status = self._parser.get_status_code()
        if status >= 200:
            self.in_body = True
            self.keep_alive = self._parser.should_keep_alive()
        else:
            self.interim += 1
            self._bounds.extend(_BOTH)

    def feed(self, data: bytes) -> None:
        """Take the next bytes.

        Raises:
            Violation: They are not HTTP, or too many.
        """
        if self.received:
            self._parse(data)
            return
        known = self.known  # the last answer's
        if known is None or len(data) != known.size or not data.startswith(known.start):
            if known_heads.rest:
                known_heads.rest -= 1
                known, self.is_new = None, False
            else:
                known, self.is_new = known_heads.find(data, known is not None), True
        if known is not None and known.size <= self.terms.whole_most:
            self.known = known
            self.received = known.size
            self.status = known.status
            self.parts.append(data[known.begin :])
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
        """Know answers by the head of this one, if it came at once, and its body as it is.

        Args:
            head: Its head, complete.
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
        """The head is there, and as far as the parser knows a body follows."""
        if self.terms.bodyless:
            # The parser waits for a body, so it is replaced.
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
        """The connection has ended; whether that completes the answer."""
        head = self.head() if self.in_body else b""
        if not self.in_body or value_of(head, b"content-length"):
            return False
        if "chunked" in value_of(head, b"transfer-encoding").lower():
            return False
        self.complete = True
        return True

    def head(self) -> bytes:
        """The answer's head without interim ones."""
        if self.known is not None:
            return self.known.head
        head = self._head
        if not self.interim and (end := head.find(EMPTY)) >= 0:
            return head[:end]
        span, _ = span_of(head, self.interim)
        return head[span]

    def take(self) -> bytes:
        """What has come of the body and was not taken."""
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
        """No more comes. What is left can be taken; nothing refers to this in a circle any more."""
        del self._parser


def _surplus() -> Violation:
    return Violation("malformed answer", "it must answer a request once, but sent more")


def _too_large(part: str, most: int) -> Violation:
    return Violation("answer too large", f"its {part} must have at most {most} bytes")
