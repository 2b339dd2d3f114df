"""Responses for locustfiles: amoc's answers with the interface of `requests`."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import timedelta
from http.cookies import SimpleCookie
from typing import TYPE_CHECKING, Any, Self

from amoc.base.clock import MS_NS, S_NS
from amoc.http import Answer, Headers, RequestError
from amoc.locust import recording, request_errors
from amoc.locust.exceptions import Carried, CatchResponseError, LocustError, ResponseError
from amoc.locust.hooks import RequestDetails

if TYPE_CHECKING:
    from amoc.locust.client import HttpSession

_NO_BLOCK = (
    "success() and failure() require catch_response=True and a with block:"
    " with self.client.get(…, catch_response=True) as response:"
)


@dataclass(frozen=True)
class Request(Carried):
    """The request of a response."""

    _called = "response.request"
    method: str
    url: str


class Redirected(Carried):
    """A response that was a redirect. None of its data is kept."""

    _called = "response.history[…]"


class Answers(dict[str, str]):
    """The cookies that a response sets, by name."""

    def get_dict(self) -> dict[str, str]:
        """Return all cookies."""
        return dict(self)


class Response(Carried):
    """A response. If the request failed without one, its status is 0.

    Attributes:
        error: Why there is no response.
        js: JSON of the response, in `rest`.
    """

    _called = "response"
    # Defaults on the class: there is one object per request, and most of these never change.
    js: Any = None  # any JSON, which locustfiles take apart
    encoding: str | None = None
    _is_over = False
    _is_entered = False
    _verdict: Exception | bool | None = None
    _content: bytes | None = None
    _error: Exception | None = None
    _meta: RequestDetails | None = None

    def __init__(
        self,
        session: HttpSession,
        answer: Answer,
        broken: RequestError | None,
        asked: tuple[str, str, str, Mapping[str, object] | None, float],
        catches: bool,
    ) -> None:
        """Represent `answer`, or the failure `broken`.

        Args:
            session: The client.
            answer: The answer.
            broken: Why there is no response.
            asked: Method, name, URL, context of the request, and its start time.
            catches: Whether a block determines the outcome; if not, it is reported now.
        """
        self._session = session
        self._answer = answer
        self._broken = broken
        self._asked = asked
        self._catches = catches
        if not catches:
            self._tell()

    # Outcome

    @property
    def error(self) -> Exception | None:
        """Why there is no response; with `FastHttpUser` also for a bad status."""
        if self._broken is not None and self._error is None:
            self._error = request_errors.of(self._broken)
        return self._error

    @property
    def status_code(self) -> int:
        """HTTP status; 0 without a response."""
        return self._answer.status

    @property
    def ok(self) -> bool:
        """Whether there is a response with a status below 400."""
        return 0 < self._answer.status < 400

    def raise_for_status(self) -> None:
        """Raise the reason if the request has failed.

        Raises:
            HTTPError: The status is 400 or above.
            RequestException: There is no response.
            CatchResponseError: It was marked as failed.
        """
        if self._verdict is not None:
            if isinstance(self._verdict, Exception):
                raise self._verdict
            return
        if (failure := self._failure(self.url)) is not None:
            raise failure

    def _failure(self, where: str) -> Exception | None:
        if self._broken is not None:
            return self.error
        status = self._answer.status
        if status < 400:
            return None
        whose = "Client" if status < 500 else "Server"
        failure = request_errors.HTTPError(
            f"{status} {whose} Error: {self.reason} for url: {where}", response=self
        )
        failure.failed_status = status  # type: ignore[attr-defined] # may be a class of requests
        return failure

    def success(self) -> None:
        """Mark the request as successful.

        Raises:
            LocustError: It is not in a ``with`` block with ``catch_response``.
        """
        if not self._is_entered:
            raise LocustError(_NO_BLOCK)
        self._verdict = True

    def failure(self, exc: object) -> None:
        """Mark the request as failed.

        Args:
            exc: The reason, an exception or text.

        Raises:
            LocustError: It is not in a ``with`` block with ``catch_response``.
        """
        if not self._is_entered:
            raise LocustError(_NO_BLOCK)
        self._verdict = exc if isinstance(exc, Exception) else CatchResponseError(exc)

    def __enter__(self) -> Self:
        if not self._catches:
            raise LocustError(_NO_BLOCK)
        self._is_entered = True
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, _: object
    ) -> bool:
        swallows = kind is None
        if self._verdict is None and kind is not None:
            if not isinstance(error, ResponseError):
                self.close()
                return False  # nothing is recorded then, as in Locust
            self._verdict, swallows = error, True
        self._tell()
        return swallows

    def _tell(self) -> None:
        """Fire the event `request`; if there are no other listeners, record it directly."""
        answer, verdict = self._answer, self._verdict
        hook = self._session.request_event
        if self._meta is None and len(hook.listeners) == 1:
            method, name, *_ = self._asked
            failure: tuple[str, str] | None = None
            if isinstance(verdict, Exception):
                failure = recording.cause_of(verdict)
            elif verdict is None and answer.cause:
                failure = answer.cause, answer.message
            recording.put(f"{method} {name}", answer.ns, self._size, failure)
        else:
            told = self.request_meta
            why = self._failure(told["name"]) if verdict is None else verdict
            told["exception"] = why if isinstance(why, Exception) else None
            hook.fire(**told)
        if answer.stream is None or self._catches:
            self.close()

    @property
    def request_meta(self) -> RequestDetails:
        """Details of the event `request`, which a ``with`` block may change."""
        if self._meta is None:
            method, name, url, context, begun = self._asked
            own = self._session.user.context() if self._session.user is not None else {}
            self._meta = {
                "request_type": method,
                "response_time": self._answer.ns / MS_NS,
                "name": name,
                "context": {**own, **(context or {})},
                "response": self,
                "exception": None,
                "start_time": begun,
                "url": self._session.whole(url),
                "response_length": self._size,
            }
        return self._meta

    @property
    def _size(self) -> int:
        if self._answer.stream is None:
            return len(self._answer.bytes)
        said = self._answer.headers.get("content-length", "0")
        return int(said) if said.isdecimal() else 0

    # Content

    @property
    def content(self) -> bytes | None:
        """The body as bytes; None without a response."""
        if self._broken is not None:
            return None
        if self._content is None:
            self._content = b"".join(self._answer.chunks())
            self.close()
        return self._content

    @property
    def text(self) -> str | None:
        """The body as text; without a response empty, or None with `FastHttpUser`."""
        if self._broken is not None:
            return self._session.NO_TEXT
        content = self.content or b""
        if self.encoding is not None:
            return content.decode(self.encoding, "replace")
        self._answer.bytes = content
        return self._answer.text

    def json(self, **options: Any) -> Any:  # options of `json.loads`, and any JSON
        """Return the body parsed as JSON.

        Raises:
            json.JSONDecodeError: It is not JSON.
        """
        from json import JSONDecodeError, loads

        try:
            return loads(self.content or b"", **options)
        except JSONDecodeError as error:
            raise request_errors.JSONDecodeError(error.msg, error.doc, error.pos) from None

    def iter_content(
        self, chunk_size: int | None = 1024, decode_unicode: bool = False, **_: object
    ) -> Iterator[str | bytes]:
        """Yield the body in pieces, as they arrive with ``stream=True``; ignores `chunk_size`."""
        del chunk_size
        pieces = iter((self._content,)) if self._content is not None else self._answer.chunks()
        for piece in pieces:
            yield piece.decode(self.encoding or "utf-8", "replace") if decode_unicode else piece
        self.close()

    def iter_lines(self, decode_unicode: bool = False, **_: object) -> Iterator[str | bytes]:
        """Yield the body line by line, without line ends."""
        for line in self._answer.lines() if self._content is None else self._content.splitlines():
            yield line.decode(self.encoding or "utf-8", "replace") if decode_unicode else line
        self.close()

    @property
    def headers(self) -> Headers:
        """Headers by case-insensitive name."""
        return self._answer.headers

    @property
    def reason(self) -> str:
        """The reason phrase after the status."""
        return self._answer.reason

    @property
    def elapsed(self) -> timedelta:
        """Duration of the request."""
        return timedelta(seconds=self._answer.ns / S_NS)

    @property
    def url(self) -> str:
        """URL of the response, after redirects."""
        return self._answer.url

    @property
    def history(self) -> list[Redirected]:
        """One object for each redirect that was followed."""
        return [Redirected() for _ in range(self._answer.redirects)]

    @property
    def is_redirect(self) -> bool:
        """Whether it is a redirect."""
        return "location" in self.headers and self.status_code in (301, 302, 303, 307, 308)

    @property
    def cookies(self) -> Answers:
        """The cookies that the response sets."""
        found = Answers()
        for value in self.headers.all("set-cookie"):
            found.update({name: one.value for name, one in SimpleCookie(value).items()})
        return found

    @property
    def request(self) -> Request:
        """The request."""
        method, _, url, *_ = self._asked
        return Request(method, self._session.whole(url))

    def close(self) -> None:
        """Discard the rest of the response."""
        if not self._is_over:
            self._is_over = True
            self._session.finish(self._answer)

    def __bool__(self) -> bool:
        return self.ok

    def __repr__(self) -> str:
        return f"<Response [{self.status_code}]>"
