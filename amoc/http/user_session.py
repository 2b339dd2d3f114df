"""A user's session: what one browser, or one client of an API, keeps between requests."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import replace
from functools import lru_cache
from time import monotonic_ns
from typing import Any, Final, Self, TypedDict, Unpack

from gevent import getcurrent

from amoc.base import pause
from amoc.base.errors import ScenarioError
from amoc.base.tracebacks import message_of, raise_without_cycle
from amoc.http import bodies, deadlines, meters, names
from amoc.http.answer import Answer
from amoc.http.bodies import Data, File, Form
from amoc.http.call import Call, Terms
from amoc.http.config import Config
from amoc.http.cookies import Cookies
from amoc.http.errors import RequestError
from amoc.http.fetch import Fetcher, TracedFetcher
from amoc.http.request import Auth
from amoc.http.urls import (
    Address,
    Origin,
    Query,
    fill,
    join,
    known_lines,
    line_of,
    named,
    parse,
    with_query,
)
from amoc.metrics import registry, stopwatch
from amoc.steps import Step, recorder, tracing
from amoc.steps import api as steps
from amoc.steps.api import is_end
from amoc.steps.recorder import Recorder

_METHODS: Final = frozenset({"GET", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"})
_NOWHERE: Final = Origin("http", "", 0)


class Options(TypedDict, total=False):
    """What a request takes beside its method and its URL."""

    name: str
    """What it is called in the results; else method and path, ``GET /item/7``."""
    path: Mapping[str, object]
    """Values for each ``{name}`` in the URL, which as it was is part of the request's name."""
    params: Query
    """Parameters of the query; no part of the name."""
    headers: Mapping[str, object]
    """Beside the session's, or in their stead; None leaves one out."""
    json: object
    """What it carries, as JSON."""
    form: Form
    """What it carries, as a form does."""
    data: Data
    """What it carries: bytes, text, a Path, an open file, or pieces of bytes, sent in chunks."""
    files: Mapping[str, File] | Iterable[tuple[str, File]]
    """Files to upload (multipart/form-data), with the fields of `form`."""
    auth: Auth
    """``(user, password)`` or ``http.bearer(token)``, in the session's stead."""
    allow: int | Iterable[int]
    """Statuses of 400 and above with which it does not count as failed."""
    timeout: float
    """In seconds, in the session's stead."""
    redirects: int
    """How many are followed at most, in the session's stead."""
    expect_continue: bool
    """Whether the body is sent only after the server has agreed to it."""


_OPTIONS: Final = dict(Options.__annotations__)


class Session:
    """Connections that are kept, cookies, and headers for all requests. See `amoc.http.session`."""

    __slots__ = ("_base", "_config", "_fetcher", "_is_plain", "_origin", "_terms")

    def __init__(self, base: Address | None, config: Config) -> None:
        self._base = base
        self._origin = base.origin if base else _NOWHERE
        self._is_plain = base is not None and base.target == "/"
        self._config = config
        self._fetcher = (TracedFetcher if tracing.is_on() else Fetcher)(base, config)
        self._terms = _terms_of(config.timeout, config.max_body, config.read_timeout)

    @property
    def cookies(self) -> Cookies:
        """The session's cookies."""
        return self._fetcher.cookies

    def set_header(self, name: str, value: str | None) -> None:
        """Send a header with all further requests, a token say; None takes it away."""
        self._fetcher.heads.set(name, value)

    def get(self, url: str, **options: Unpack[Options]) -> Answer:
        """``GET`` a path of the base URL, or any URL; see `request`."""
        return self._perform("GET", url, options)

    def head(self, url: str, **options: Unpack[Options]) -> Answer:
        """``HEAD``; see `request`."""
        return self._perform("HEAD", url, options)

    def post(self, url: str, **options: Unpack[Options]) -> Answer:
        """``POST``; see `request`."""
        return self._perform("POST", url, options)

    def put(self, url: str, **options: Unpack[Options]) -> Answer:
        """``PUT``; see `request`."""
        return self._perform("PUT", url, options)

    def patch(self, url: str, **options: Unpack[Options]) -> Answer:
        """``PATCH``; see `request`."""
        return self._perform("PATCH", url, options)

    def delete(self, url: str, **options: Unpack[Options]) -> Answer:
        """``DELETE``; see `request`."""
        return self._perform("DELETE", url, options)

    def options(self, url: str, **options: Unpack[Options]) -> Answer:
        """``OPTIONS``; see `request`."""
        return self._perform("OPTIONS", url, options)

    def request(self, method: str, url: str, **options: Unpack[Options]) -> Answer:
        """Make a request; in the results it is a step of its own.

        Args:
            method: Such as ``GET``.
            url: A path of the base URL, or a URL.
            options: See `Options`.

        Returns:
            The answer, whatever its status. One of 400 or above lets the request count as failed.

        Raises:
            RequestError: There is none, unless the session does not raise.
            ScenarioError: An argument makes no sense.
            UserStopped: The user was asked to stop while it waited.
        """
        return self._perform(method, url, options)

    def _perform(self, method: str, url: str, options: Any) -> Answer:
        call = self._prepared(method, url, options, False)
        one = registry.current.composed.get(call.name)
        if type(one) is not Recorder:  # else without a call, for nearly all names are known
            one = names.recorder_of(call.name)
            call.name = one.name
        if stopwatch.throttled:  # then it may have a response time, too
            with steps.made(one) as step:
                answer, error = self._traced(call, step)
                if answer.cause:
                    step.fail(answer.cause, answer.message)
                step.read(len(answer.bytes))
        else:
            call.recorder, error = one, None
            try:
                answer = self._fetcher.fetch(call)  # as `_attempt`
            except RequestError as refusal:
                answer, error = _unanswered(call, refusal)
            except BaseException as broken:
                if is_end(broken):
                    meters.unanswered.inc()
                else:
                    recorder.record(
                        one.name, 0, cause=type(broken).__name__, message=message_of(broken)
                    )
                raise
            if not answer.is_recorded:
                _record(one, answer)
            outer = getattr(getcurrent(), "open_step", None)
            if outer is not None:
                outer.has_inner = True
                outer.inner_failed |= not answer.ok
        if error is not None and self._config.raises:
            holder, error = [error], None
            raise_without_cycle(holder)
        return answer

    @contextmanager
    def stream(self, method: str, url: str, **options: Unpack[Options]) -> Iterator[Answer]:
        """Make a request whose answer's body is taken as it comes, with `Answer.chunks`.

            with shop.stream("GET", "/export") as answer:
                for chunk in answer.chunks():
                    ...

        It is over when the block ends; what was not taken by then is dropped, with the connection.
        It raises, and takes, what `request` does.
        """
        call = self._prepared(method, url, options, True)
        one = names.recorder_of(call.name)
        call.name = one.name
        with steps.made(one) as step:
            answer, error = self._traced(call, step)
            if answer.cause:
                step.fail(answer.cause, answer.message)
            if error is not None and self._config.raises:
                holder, error = [error], None
                raise_without_cycle(holder)
            answer.step = step
            try:
                yield answer
            except RequestError as broken:
                answer.fail(broken.cause, str(broken))
                raise
            finally:
                answer.step = None
                if answer.stream is not None:
                    step.read(answer.stream.size)
                    self.finish(answer)

    def _traced(self, call: Call, step: Step) -> tuple[Answer, RequestError | None]:
        """`_attempt`, within a step that may have a span."""
        if not (parent := step.traceparent):
            return self._attempt(call)
        call.traceparent = parent
        call.line = b""  # it has a header of its own
        method, origin = call.method, call.origin
        answer, error = self._attempt(call)
        facts: dict[str, str | int] = {
            "http.request.method": method,
            "url.scheme": origin.scheme,
            "server.address": origin.host,
            "server.port": origin.port,
        }
        if answer.status:
            facts["http.response.status_code"] = answer.status
        step.describe(facts)
        return answer, error

    def attempt(
        self, method: str, url: str, options: dict[str, Any], *, streams: bool = False
    ) -> tuple[Answer, RequestError | None]:
        """Make a request and record nothing, for libraries that record it in words of their own.

        Args:
            method: Such as ``GET``.
            url: A path of the base URL, or a URL.
            options: See `Options`; they are taken out of it.
            streams: Whether the answer's body is taken as it comes, until `finish`.

        Returns:
            The answer, and None; or one with the status 0, and why there is no other.

        Raises:
            ScenarioError: An argument makes no sense.
            UserStopped: The user was asked to stop while it waited.
        """
        return self._attempt(self._prepared(method, url, options, streams))

    def finish(self, answer: Answer) -> None:
        """Take no more of an answer that streams."""
        if answer.stream is not None and not answer.stream.is_over:
            answer.stream.is_over = True
            self._fetcher.drop(answer.stream.connection)

    def share_cookies(self, other: Session) -> None:
        """Keep cookies together with another session from now on."""
        self._fetcher.cookies = other.cookies

    def close(self) -> None:
        """Close the connections. Harmless the second time."""
        self._fetcher.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def __del__(self) -> None:
        # A user that was killed, or a scenario without `with`: connections are watched by the loop.
        if hasattr(self, "_fetcher"):
            self.close()

    def _prepared(self, method: str, url: str, options: Any, streams: bool) -> Call:
        begin_ns = monotonic_ns()
        if pause.clock.since_ns:
            pause.wait_resumed()
            begin_ns = monotonic_ns()
        terms = self._terms
        if method not in _METHODS:
            terms = _special(method, terms)
        if streams:
            terms = replace(terms, streams=True)
        call = Call()
        name = None
        if options:
            name = options.pop("name", None)
            if options and "allow" in options:
                call.allow = options.pop("allow")
        call.name = f"{method} {named(url)}" if name is None else name
        call.method = method
        call.terms = terms
        call.begin_ns = begin_ns
        call.redirects = self._config.redirects
        if not options and self._is_plain:
            line = known_lines[url] if url in known_lines else line_of(url)
            if line:
                call.origin = self._origin
                call.target = url
                call.line = line if method == "GET" else b""
                return call
        call.origin, call.target, user = self._address(url, options)
        if options:
            _apply(options, call)
        if user is not None and call.auth is None:
            call.auth = user
        return call

    def _address(
        self, url: str, options: Mapping[str, Any]
    ) -> tuple[Origin, str, tuple[str, str] | None]:
        """Where a request goes to: a server, what is asked for there, and as what user."""
        if (values := options.get("path")) is not None:
            url = fill(url, values)
        user: str | None = None
        if self._is_plain and (url in known_lines or line_of(url)):
            origin, target = self._origin, url
        elif "://" in url:
            origin, target, user, password = parse(url)
        elif self._base is not None:
            origin, target, *_ = join(self._base, url)
        else:
            raise ScenarioError(
                f"a session without a base URL must be given full URLs, got {url!r}"
            )
        if (params := options.get("params")) is not None:
            target = with_query(target, params)
        return origin, target, None if user is None else (user, password or "")

    def _attempt(self, call: Call) -> tuple[Answer, RequestError | None]:
        """The answer, or one that stands for the error that is given with it."""
        try:
            return self._fetcher.fetch(call), None
        except RequestError as error:
            return _unanswered(call, error)
        except BaseException as broken:
            if is_end(broken):
                meters.unanswered.inc()
            raise


def _unanswered(call: Call, error: RequestError) -> tuple[Answer, RequestError]:
    answer = Answer()
    answer.call = call
    answer.ns = monotonic_ns() - call.begin_ns
    answer.ok, answer.cause, answer.message = False, error.cause, str(error)
    return answer, error.with_traceback(None)  # which refers to the frames that have it


@lru_cache(maxsize=64)
def _terms_of(timeout: float, max_body: int, read_timeout: float | None) -> Terms:
    silence = None if read_timeout is None else deadlines.of(read_timeout)
    return Terms(deadlines.of(timeout), max_body, silence)


def _record(one: Recorder, answer: Answer) -> None:
    """Record a request that is over."""
    if answer.ok:
        one.succeeded(answer.ns, True, len(answer.bytes))
        return
    one.failed(answer.cause, answer.message)
    if answer.bytes:
        one.read(len(answer.bytes))


def _special(method: str, terms: Terms) -> Terms:
    """The terms of a request with a method that is not among the usual ones."""
    if not (method.isascii() and method.isalpha()):
        raise ScenarioError(f"a method must be a word such as GET, got {method!r}")
    return replace(terms, bodyless=True) if method == "HEAD" else terms


def _apply(options: dict[str, Any], call: Call) -> None:
    """Let a call be as its options say."""
    if not options.keys() <= _OPTIONS.keys():
        unknown = min(options.keys() - _OPTIONS.keys())
        raise ScenarioError(f"a request takes {', '.join(_OPTIONS)}, but not {unknown}")
    get = options.get
    if (timeout := get("timeout")) is not None:
        if not 0 < timeout < 1e9:
            raise ScenarioError(f"timeout must be above 0 s, got {timeout}")
        call.terms = replace(call.terms, limit=deadlines.of(timeout))
    if (redirects := get("redirects")) is not None:
        call.redirects = redirects
    call.body = bodies.of(options)
    if get("expect_continue") and call.body is not None:
        call.terms = replace(call.terms, asks_leave=True)
    call.headers = get("headers")
    call.auth = get("auth")
