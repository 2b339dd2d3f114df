"""The response to a request: status, headers, body and timings."""

from __future__ import annotations

import builtins
import re
from collections.abc import Iterable, Iterator, Mapping
from typing import TYPE_CHECKING, Any, Final, Self

from amoc.base.clock import S_NS
from amoc.http import checks
from amoc.http.call import Call
from amoc.http.errors import AnswerTooLarge
from amoc.http.headers import Headers, parse, reason
from amoc.steps import recorder

if TYPE_CHECKING:
    from amoc.http.streaming import Stream
    from amoc.steps import Step

MAX_LINE_BYTES: Final = 1 << 20
_UNREAD: Final = object()
_CHARSET: Final = re.compile(r'charset="?([\w.:-]+)', re.IGNORECASE)


class Answer(Call):
    """The response to a request.

    It is the request too, and made before it: one object instead of two for each user to touch.

    Attributes:
        status: The HTTP status; 0 if there was no response and the session does not raise.
        ns, first_byte_ns: `elapsed_s` and `first_byte_s` in nanoseconds.
        bytes: The decompressed body. Empty for a stream, whose body comes from `chunks`.
        ok: Whether the request counts as successful so far.
        cause: The cause of failure that it is counted under; empty while `ok`.
        message: Details of the failure.
        stream: Source of a streamed body; None if the body was read completely.
        step: The request's step while it is open, as it is during a stream.
    """

    # Set by whoever completes an answer, as the attributes of `Call` are.
    head: bytes = b""
    """The status line and the headers."""
    status = 0
    bytes: builtins.bytes = b""
    ns = first_byte_ns = 0
    is_recorded = False
    """Whether it has been counted as a success of its step already."""
    ok = True
    cause = message = ""
    stream: Stream | None = None
    step: Step | None = None
    _headers: Headers | None = None
    _json: object = _UNREAD

    @property
    def redirects(self) -> int:
        """Number of redirects that were followed."""
        return self.followed

    @property
    def elapsed_s(self) -> float:
        """Seconds from the call to the last byte, connecting included; for streams to the first."""
        return self.ns / S_NS

    @property
    def first_byte_s(self) -> float:
        """Seconds from sending the request to the first byte of the response."""
        return self.first_byte_ns / S_NS

    @property
    def url(self) -> str:
        """The URL of the response, after redirects."""
        return str(self.address)

    @property
    def headers(self) -> Headers:
        """The headers, by case-insensitive name; repeated ones are joined, see `Headers.all`."""
        if self._headers is None:
            self._headers = parse(self.head)
        return self._headers

    @property
    def reason(self) -> str:
        """The reason phrase after the status; often empty."""
        return reason(self.head)

    @property
    def text(self) -> str:
        """The body decoded by the charset of Content-Type, or UTF-8; invalid bytes are ``�``."""
        found = _CHARSET.search(self.headers.get("content-type", ""))
        try:
            return self.bytes.decode(found[1] if found else "utf-8", "replace")
        except LookupError:  # an unknown charset
            return self.bytes.decode("utf-8", "replace")

    def json(self) -> Any:  # Any: the scenario knows its shape
        """Return the body parsed as JSON.

        Raises:
            ValueError: The body is not JSON.
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
        """Mark the request, and the step around it, as failed unless all conditions hold.

        A failed check raises nothing: the user continues.

        Args:
            status: The expected status, or several acceptable ones.
            contains: Text that the body must contain; if several are given, all of them.
            json: Expected JSON values, by paths of keys and indexes: ``{"items.0.price": 5}``.
            headers: Expected headers.
            faster_than: Upper limit of `elapsed_s`, in seconds.

        Returns:
            The answer itself.
        """
        if (
            self.status == status
            and contains is None
            and json is None
            and headers is None
            and faster_than is None
        ):
            return self  # the common case, without another call
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
        """Mark the request as failed for a reason of the scenario's. Only the first call counts.

        Args:
            cause: A short cause, shared by all failures of this kind.
            message: Details of this failure.
        """
        if self.ok:
            self.ok, self.cause, self.message = False, cause, message
            if self.step is not None:
                self.step.fail(cause, message)
            else:
                recorder.fail_later(self.name, cause, message)

    def chunks(self) -> Iterator[builtins.bytes]:
        """Yield the body of a stream in pieces as it arrives; of another response, the whole body.

        Raises:
            RequestError: The stream breaks off.
        """
        if self.stream is not None:
            yield from self.stream
        elif self.bytes:
            yield self.bytes

    def lines(self) -> Iterator[builtins.bytes]:
        """Yield the body line by line as it arrives, without line ends.

        Raises:
            RequestError: The stream breaks off, or a line is longer than `MAX_LINE_BYTES`.
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


def _lay_out() -> None:
    """Have CPython lay out the attributes of all answers, by setting them on the first one.

    Later it makes no more room for others. With many users, hundreds of answers are begun before
    one is complete, and without this each would get a dictionary of its own.
    """
    first = Answer()
    for name in (
        *("method", "origin", "target", "name", "terms", "begin_ns", "line", "recorder"),
        *("status", "head", "ok", "cause", "first_byte_ns", "ns", "bytes", "is_recorded"),
        *("allow", "most_redirects", "own_body", "own_headers", "own_auth", "_headers", "_json"),
    ):
        setattr(first, name, None)


_lay_out()
