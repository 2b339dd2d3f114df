"""Pure. Reads the answers to requests on one connection, one after another and within limits.

llhttp finds where messages end; it is strict, so what could be read in two ways is refused. Heads
stay bytes (`amoc.http.headers`), for most of them nobody looks at.
"""

from __future__ import annotations

from typing import Final

import httptools

from amoc.http.headers import head_of, value_of

MAX_HEAD_BYTES: Final = 64 << 10
"""Of an answer's head, interim ones included."""
MAX_PARTS: Final = 256
"""Pieces of a body that are kept before they are put together: small chunks have overhead."""


class Violation(Exception):
    """What came is no answer.

    Attributes:
        cause: In a few words.
    """

    def __init__(self, cause: str, why: str) -> None:
        super().__init__(why)
        self.cause = cause


class Reader:
    """Puts answers together.

    Attributes:
        complete: Whether the answer is there.
        in_body: Whether its head is.
        interim: How many interim answers came before it.
        keep_alive: Whether the connection can be used for another request, once it is complete.
        parts: What has come of its body and was not taken.
        received: Bytes that have come of it.
        status: The last status that came.
    """

    __slots__ = (
        *("_beginnings", "_body", "_bodyless", "_ends", "_head", "_head_bytes", "_max_body"),
        *("_parser", "complete", "in_body", "interim", "keep_alive", "on_body"),
        *("on_message_begin", "on_message_complete", "parts", "received", "status"),
    )

    def __init__(self) -> None:
        self.parts: list[bytes] = []
        # Without functions of ours in between, for a call of one takes the parser longer than what
        # it does. Each answer takes one of the beginnings that it may have; where none is left the
        # parser fails, which is what more than an answer deserves. So it is with their ends.
        self._beginnings: list[None] = []
        self._ends: list[None] = []
        self.on_message_begin = self._beginnings.pop
        self.on_message_complete = self._ends.pop
        self.on_body = self.parts.append
        self._parser = httptools.HttpResponseParser(self)
        self._body: bytearray | None = None
        self._head_bytes = 0
        self.keep_alive = False
        self.begin(False, 0)

    def begin(self, bodyless: bool, max_body: int | None) -> None:
        """Expect the answer to the next request.

        Args:
            bodyless: Whether it has no body, as the answer to HEAD.
            max_body: Bytes that the body may have, chunks and all; None where it is taken in
                pieces, and so has no limit.
        """
        self._bodyless = bodyless
        self._max_body = max_body
        if not self._beginnings:
            self._beginnings.append(None)
        if not self._ends:
            self._ends.append(None)
        self._head = b""
        self.complete = self.in_body = False
        self.interim = self.received = self.status = 0

    def on_headers_complete(self) -> None:
        """The parser: a head is there, of the answer or of an interim one."""
        status = self.status = self._parser.get_status_code()
        if status >= 200:
            self.in_body = True
            self._head_bytes = len(self._head)
            self.keep_alive = self._parser.should_keep_alive()
        else:
            self.interim += 1
            self._beginnings.append(None)
            self._ends.append(None)

    def feed(self, data: bytes) -> None:
        """Take the next bytes.

        Raises:
            Violation: They are not HTTP, or too many.
        """
        self.received += len(data)
        if not self.in_body:
            self._head += data
        try:
            self._parser.feed_data(data)
        except httptools.HttpParserUpgrade:
            raise Violation("malformed answer", "it must not switch protocols unasked") from None
        except httptools.HttpParserError as error:
            if self._ends:
                raise Violation("malformed answer", f"it must answer in HTTP ({error})") from None
            self.complete = True
            raise _surplus() from None
        if not self._ends:
            self.complete = True
        elif self.in_body:
            self._go_on()
        elif len(self._head) > MAX_HEAD_BYTES:
            raise _too_large("head", MAX_HEAD_BYTES)

    def _go_on(self) -> None:
        """The head is there, and as far as the parser knows a body follows."""
        if self._bodyless:
            # The parser waits for a body, so it is replaced.
            is_new = self._parser.get_http_version() == "1.1"
            self._parser = httptools.HttpResponseParser(self)
            self.complete = True
            self.keep_alive = is_new and "close" not in value_of(self.head(), b"connection").lower()
            if self.parts:
                raise _surplus()
        elif self._max_body is None:
            return
        elif self.received - self._head_bytes > self._max_body:
            raise _too_large("body", self._max_body)
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
        head = self._head
        if not self.interim and (end := head.find(b"\r\n\r\n")) >= 0:
            return head[:end]
        return head_of(head, self.interim)

    def take(self) -> bytes:
        """What has come of the body and was not taken."""
        parts = self.parts
        if self._body is None:
            body = parts[0] if len(parts) == 1 else b"".join(parts)
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
