"""A user's session: what a browser, or an API client, keeps between requests."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import replace
from functools import lru_cache
from time import monotonic_ns
from typing import Final, Self, Unpack, cast

from gevent import getcurrent

from amoc.base import pause
from amoc.base.errors import ScenarioError
from amoc.base.tracebacks import message_of, raise_without_cycle
from amoc.http import bodies, deadlines, meters, names, urls
from amoc.http.answer import Answer
from amoc.http.bodies import BodyOptions
from amoc.http.call import Call, Terms
from amoc.http.config import Config
from amoc.http.cookies import Cookies
from amoc.http.errors import RequestError
from amoc.http.fetch import Fetcher, TracedFetcher
from amoc.http.request import Auth
from amoc.http.urls import Address, Origin, Query, fill, join, named, parse, with_query
from amoc.metrics import registry, stopwatch
from amoc.steps import Step, recorder, tracing
from amoc.steps import api as steps
from amoc.steps.api import is_end
from amoc.steps.recorder import Recorder

_METHODS: Final = frozenset({"POST", "PUT", "PATCH", "DELETE", "OPTIONS"})
_NOWHERE: Final = Origin("http", "", 0)


class Options(BodyOptions, total=False):
    """Options of a request, besides method, URL and `name`, its name in the results."""

    path: Mapping[str, object]
    """Values for each ``{name}`` in the URL. The request's name keeps the placeholders."""
    params: Query
    """Query parameters; not part of the name."""
    headers: Mapping[str, object]
    """Headers to add to the session's, or to override them; None removes one."""
    auth: Auth
    """``(user, password)`` or ``http.bearer(token)``, instead of the session's."""
    allow: int | Iterable[int]
    """Statuses of 400 and above that do not count as failures."""
    timeout: float
    """Time limit in seconds, instead of the session's."""
    redirects: int
    """Maximum number of redirects to follow, instead of the session's."""
    expect_continue: bool
    """Whether to send the body only after the server has agreed to receive it."""


_OPTIONS: Final = Options.__annotations__.keys()


class Session:
    """Idle connections, cookies, and headers of all requests. See `amoc.http.session`."""

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
        """Send a header, a token for example, with all further requests; None removes it."""
        self._fetcher.heads.set(name, value)

    def get(self, url: str, *, name: str | None = None, **options: Unpack[Options]) -> Answer:
        """``GET`` a path of the base URL, or any URL; see `request`."""
        return self._perform("GET", url, name, options)

    def head(self, url: str, *, name: str | None = None, **options: Unpack[Options]) -> Answer:
        """``HEAD``; see `request`."""
        return self._perform("HEAD", url, name, options)

    def post(self, url: str, *, name: str | None = None, **options: Unpack[Options]) -> Answer:
        """``POST``; see `request`."""
        return self._perform("POST", url, name, options)

    def put(self, url: str, *, name: str | None = None, **options: Unpack[Options]) -> Answer:
        """``PUT``; see `request`."""
        return self._perform("PUT", url, name, options)

    def patch(self, url: str, *, name: str | None = None, **options: Unpack[Options]) -> Answer:
        """``PATCH``; see `request`."""
        return self._perform("PATCH", url, name, options)

    def delete(self, url: str, *, name: str | None = None, **options: Unpack[Options]) -> Answer:
        """``DELETE``; see `request`."""
        return self._perform("DELETE", url, name, options)

    def options(self, url: str, *, name: str | None = None, **options: Unpack[Options]) -> Answer:
        """``OPTIONS``; see `request`."""
        return self._perform("OPTIONS", url, name, options)

    def request(
        self, method: str, url: str, *, name: str | None = None, **options: Unpack[Options]
    ) -> Answer:
        """Make a request, which is a step in the results.

        Args:
            method: Such as ``GET``.
            url: A path relative to the base URL, or an absolute URL.
            name: Name in the results. Defaults to method and path, ``GET /item/7``.
            options: See `Options`.

        Returns:
            The response, whatever its status. A status of 400 or above counts as a failure.

        Raises:
            RequestError: There is no usable response, and the session raises.
            ScenarioError: An argument is invalid.
            UserStopped: The user was asked to stop while waiting.
        """
        return self._perform(method, url, name, options)

    def _perform(self, method: str, url: str, name: str | None, options: Options) -> Answer:
        answer = self._prepared(method, url, name, options, False)
        one = registry.current.composed.get(answer.name)
        if type(one) is not Recorder:  # `recorder_of` inlined: nearly all names are known
            one = names.recorder_of(answer.name)
            answer.name = one.name
        error: RequestError | None
        if stopwatch.throttled:  # there may also be a response time to record
            with steps.made(one) as step:
                error = self._traced(answer, step)
                if answer.cause:
                    step.fail(answer.cause, answer.message)
                step.read(len(answer.bytes))
        else:
            answer.recorder, error = one, None
            try:
                self._fetcher.fetch(answer)  # `_attempt` inlined
            except RequestError as refusal:
                error = _unanswered(answer, refusal)
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
            outer = getattr(getcurrent(), "open_step", None) if recorder.has_opened else None
            if outer is not None:
                outer.has_inner = True
                outer.inner_failed |= not answer.ok
        if error is not None and self._config.raises:
            holder, error = [error], None
            raise_without_cycle(holder)
        return answer

    @contextmanager
    def stream(
        self, method: str, url: str, *, name: str | None = None, **options: Unpack[Options]
    ) -> Iterator[Answer]:
        """Make a request, and read the response's body as it arrives, with `Answer.chunks`.

            with shop.stream("GET", "/export") as answer:
                for chunk in answer.chunks():
                    ...

        The request ends with the block. Closes the connection if the body was not read completely.
        Arguments and errors are those of `request`.
        """
        answer = self._prepared(method, url, name, options, True)
        one = names.recorder_of(answer.name)
        answer.name = one.name
        with steps.made(one) as step:
            error = self._traced(answer, step)
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

    def _traced(self, answer: Answer, step: Step) -> RequestError | None:
        """Make a request as `_attempt` does, within a step that may have a span."""
        if not (parent := step.traceparent):
            return self._attempt(answer)
        answer.traceparent = parent
        answer.line = b""  # the request now has an additional header
        method, origin = answer.method, answer.origin
        error = self._attempt(answer)
        facts: dict[str, str | int] = {
            "http.request.method": method,
            "url.scheme": origin.scheme,
            "server.address": origin.host,
            "server.port": origin.port,
        }
        if answer.status:
            facts["http.response.status_code"] = answer.status
        step.describe(facts)
        return error

    def attempt(
        self, method: str, url: str, options: dict[str, object], *, streams: bool = False
    ) -> tuple[Answer, RequestError | None]:
        """Make a request without recording it, for libraries that record it themselves.

        Args:
            method: Such as ``GET``.
            url: A path relative to the base URL, or an absolute URL.
            options: ``name`` and those of `Options`. The dictionary is modified.
            streams: Whether the body is read as it arrives, until `finish`.

        Returns:
            The response and None; or an answer with status 0, and the error.

        Raises:
            ScenarioError: An argument is invalid.
            UserStopped: The user was asked to stop while waiting.
        """
        name = cast("str | None", options.pop("name", None))
        given = cast("Options", options)  # names and values are checked as for a scenario's
        answer = self._prepared(method, url, name, given, streams)
        return answer, self._attempt(answer)

    def finish(self, answer: Answer) -> None:
        """End a streamed response. Its remaining body is discarded."""
        if answer.stream is not None and not answer.stream.is_over:
            answer.stream.is_over = True
            self._fetcher.drop(answer.stream.connection)

    def share_cookies(self, other: Session) -> None:
        """Use the cookies of another session from now on."""
        self._fetcher.cookies = other.cookies

    def close(self) -> None:
        """Close the connections. Closing them again does nothing."""
        self._fetcher.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def __del__(self) -> None:
        # For killed users, and scenarios without `with`: the loop still watches connections.
        if hasattr(self, "_fetcher"):
            self.close()

    def _prepared(
        self, method: str, url: str, name: str | None, options: Options, streams: bool
    ) -> Answer:
        begin_ns = monotonic_ns()
        if pause.clock.since_ns:
            pause.wait_resumed()
            begin_ns = monotonic_ns()
        terms = self._terms
        if method != "GET":
            terms = _special(method, terms)
        if streams:
            terms = replace(terms, streams=True)
        answer = Answer()
        if options and "allow" in options:
            answer.allow = options.pop("allow")
        answer.name = f"{method} {named(url)}" if name is None else name
        answer.method = method
        answer.terms = terms
        answer.begin_ns = begin_ns
        if not options and self._is_plain:
            line = urls.known_lines.get(url) or urls.line_of(url)
            if line:
                answer.origin = self._origin
                answer.target = url
                answer.line = line if method == "GET" else b""
                return answer
        answer.origin, answer.target, user = self._address(url, options)
        if options:
            _apply(options, answer)
        if user is not None and answer.own_auth is None:
            answer.own_auth = user
        return answer

    def _address(self, url: str, options: Options) -> tuple[Origin, str, tuple[str, str] | None]:
        """Return server, target, and the credentials that the URL contains."""
        if (values := options.get("path")) is not None:
            url = fill(url, values)
        user: str | None = None
        if self._is_plain and urls.line_of(url):
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

    def _attempt(self, answer: Answer) -> RequestError | None:
        """Make the request that `answer` is. Return the error if there is no response."""
        try:
            self._fetcher.fetch(answer)
        except RequestError as error:
            return _unanswered(answer, error)
        except BaseException as broken:
            if is_end(broken):
                meters.unanswered.inc()
            raise
        return None


def _unanswered(answer: Answer, error: RequestError) -> RequestError:
    answer.status, answer.head, answer.bytes, answer.first_byte_ns = 0, b"", b"", 0
    answer.ns = monotonic_ns() - answer.begin_ns
    answer.ok, answer.cause, answer.message = False, error.cause, str(error)
    return error.with_traceback(None)  # whose frames would refer back to the error


@lru_cache(maxsize=64)
def _terms_of(timeout: float, max_body: int, read_timeout: float | None) -> Terms:
    silence = None if read_timeout is None else deadlines.of(read_timeout)
    return Terms(deadlines.of(timeout), max_body, silence)


def _record(one: Recorder, answer: Answer) -> None:
    """Record a completed request."""
    if answer.ok:
        one.succeeded(answer.ns, True, len(answer.bytes))
        return
    one.failed(answer.cause, answer.message)
    if answer.bytes:
        one.read(len(answer.bytes))


def _special(method: str, terms: Terms) -> Terms:
    """Return the terms of a request whose method is not GET."""
    if method in _METHODS:
        return terms
    if not (method.isascii() and method.isalpha()):
        raise ScenarioError(f"a method must be a word such as GET, got {method!r}")
    return replace(terms, bodyless=True) if method == "HEAD" else terms


def _apply(options: Options, call: Call) -> None:
    """Set the fields of a call from its options."""
    if not options.keys() <= _OPTIONS:
        unknown = min(options.keys() - _OPTIONS)
        raise ScenarioError(f"a request takes name, {', '.join(_OPTIONS)}, but not {unknown}")
    if (timeout := options.get("timeout")) is not None:
        if not 0 < timeout < 1e9:
            raise ScenarioError(f"timeout must be above 0 s, got {timeout}")
        call.terms = replace(call.terms, limit=deadlines.of(timeout))
    call.most_redirects = options.get("redirects")
    call.own_body = bodies.of(options)
    if options.get("expect_continue") and call.own_body is not None:
        call.terms = replace(call.terms, asks_leave=True)
    call.own_headers = options.get("headers")
    call.own_auth = options.get("auth")
