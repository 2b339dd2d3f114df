"""What came back: status, headers, body, and how long it took."""

from __future__ import annotations

import builtins
import re
from collections.abc import Iterable, Iterator, Mapping
from typing import TYPE_CHECKING, Any, Final, Self

from amoc.base.clock import S_NS
from amoc.http import checks
from amoc.http.errors import AnswerTooLarge
from amoc.http.headers import Headers, parse, reason
from amoc.steps import recorder

if TYPE_CHECKING:
    from amoc.http.call import Call
    from amoc.http.streaming import Stream
    from amoc.http.urls import Origin
    from amoc.steps import Step

MAX_LINE_BYTES: Final = 1 << 20
_UNREAD: Final = object()
_CHARSET: Final = re.compile(r'charset="?([\w.:-]+)', re.IGNORECASE)


class Answer:
    """An answer.

    Attributes:
        status: Its status; 0 where there was no answer and the session does not raise.
        ns, first_byte_ns: `elapsed_s` and `first_byte_s` in nanoseconds.
        bytes: The body, decompressed; of a stream, what was not taken from `chunks` is not there.
        ok: Whether the request does not count as failed so far.
        cause: Why it does; empty while it does not.
        message: What else there is to say of that.
        stream: Gives the body of a stream; None of another answer.
        step: The request's own, while it is open, as that of a stream is.
    """

    # As `Call`, which whoever makes one gives it.
    call: Call
    head: bytes = b""
    """Its status line and headers."""
    status = 0
    bytes: builtins.bytes = b""
    ns = first_byte_ns = 0
    is_recorded = False
    """Whether it was counted as a success of its step's."""
    ok = True
    cause = message = ""
    stream: Stream | None = None
    step: Step | None = None
    _headers: Headers | None = None
    _json: Any = _UNREAD

    @property
    def name(self) -> str:
        """What the request is called in the results."""
        return self.call.name

    @property
    def origin(self) -> Origin:
        """The server that it came from, after redirects."""
        return self.call.origin

    @property
    def redirects(self) -> int:
        """How many were followed."""
        return self.call.followed

    @property
    def elapsed_s(self) -> float:
        """From the call to the last byte, connecting included; of a stream, to its first byte."""
        return self.ns / S_NS

    @property
    def first_byte_s(self) -> float:
        """From the request's sending to its first byte."""
        return self.first_byte_ns / S_NS

    @property
    def url(self) -> str:
        """Where it came from, after redirects."""
        return str(self.call.address)

    @property
    def headers(self) -> Headers:
        """By name in any case; several of one name are joined, see `Headers.all`."""
        if self._headers is None:
            self._headers = parse(self.head)
        return self._headers

    @property
    def reason(self) -> str:
        """What the server says beside the status; often empty."""
        return reason(self.head)

    @property
    def text(self) -> str:
        """The body as text, by the charset of Content-Type, or UTF-8; what is neither is ``�``."""
        found = _CHARSET.search(self.headers.get("content-type", ""))
        try:
            return self.bytes.decode(found[1] if found else "utf-8", "replace")
        except LookupError:  # there is no such charset
            return self.bytes.decode("utf-8", "replace")

    def json(self) -> Any:
        """The body, which is JSON, as a value.

        Raises:
            ValueError: It is none.
        """
        if self._json is _UNREAD:
            self._json = checks.parsed(self.bytes)
        return self._json

    def check(
        self,
        *,
        status: int | Iterable[int] | None = None,
        contains: str | Iterable[str] | None = None,
        json: Mapping[str, object] | None = None,
        headers: Mapping[str, str] | None = None,
        faster_than: float | None = None,
    ) -> Self:
        """Let the request, and the step that it is in, count as failed if the answer is not so.

        The user goes on.

        Args:
            status: Its status, or those that are fine.
            contains: What its text contains, all of them.
            json: Values in it, by paths of keys and indexes: ``{"items.0.price": 5}``.
            headers: Headers that it has.
            faster_than: In how many seconds it came.

        Returns:
            The answer itself.
        """
        is_plain = contains is None and json is None and headers is None and faster_than is None
        if is_plain and self.status == status:
            return self  # as most are, without another call
        problem = checks.problem_of(self, status, contains, json, headers, faster_than)
        if problem is not None:
            self.fail(*problem)
            step = recorder.open_step()
            if step is not None and step is self.step:
                step = self.step.outer
            if step is not None:
                step.fail(*problem)
        return self

    def fail(self, cause: str, message: str = "") -> None:
        """Let the request count as failed, once, for a reason of the scenario's own.

        Args:
            cause: In a few words that other failures share.
            message: What else there is to say of this one.
        """
        if self.ok:
            self.ok, self.cause, self.message = False, cause, message
            if self.step is not None:
                self.step.fail(cause, message)
            else:
                recorder.fail_later(self.name, cause, message)

    def chunks(self) -> Iterator[builtins.bytes]:
        """The body of a stream, as it comes; of another answer, all at once.

        Raises:
            RequestError: It breaks off.
        """
        if self.stream is not None:
            yield from self.stream
        elif self.bytes:
            yield self.bytes

    def lines(self) -> Iterator[builtins.bytes]:
        """The body line by line, without their ends, as it comes; as `chunks`.

        Raises:
            RequestError: It breaks off, or a line is longer than `MAX_LINE_BYTES`.
        """
        rest = b""
        for chunk in self.chunks():
            *lines, rest = (rest + chunk).split(b"\n")
            if len(rest) > MAX_LINE_BYTES:
                raise AnswerTooLarge(
                    f"{self.name}: a line must have at most {MAX_LINE_BYTES} bytes",
                    "answer too large",
                )
            yield from (line.removesuffix(b"\r") for line in lines)
        if rest:
            yield rest

    def __repr__(self) -> str:
        return f"<{self.name}: {self.status or self.cause}, {len(self.bytes)} bytes>"
