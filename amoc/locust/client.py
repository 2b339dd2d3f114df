"""A user's HTTP client: `amoc.http` with the interface of `requests`, like Locust's clients."""

from __future__ import annotations

import re
import time
from collections.abc import Iterable, Iterator, Mapping, MutableMapping
from contextlib import contextmanager
from typing import TYPE_CHECKING, Final, TypedDict, Unpack

from amoc import http
from amoc.http.answer import Answer
from amoc.http.bodies import Data, Form
from amoc.http.cookies import Cookies
from amoc.http.urls import PLAIN, Address, join, parse, with_query
from amoc.locust import arguments
from amoc.locust.arguments import CallOptions, Cert, PostOptions, PutOptions, RequestOptions
from amoc.locust.exceptions import Carried
from amoc.locust.hooks import EventHook
from amoc.locust.response import Response

if TYPE_CHECKING:
    from amoc.locust.users import User

_ABSOLUTE: Final = re.compile(r"https?://", re.IGNORECASE)
REDIRECTS: Final = 30


class SessionOptions(TypedDict, total=False):
    """Arguments of `amoc.http.session`."""

    timeout: float
    connect_timeout: float
    redirects: int
    proxy: str
    max_idle: int


class CookieJar(MutableMapping[str, str]):
    """The client's cookies, by name."""

    def __init__(self, client: HttpSession) -> None:
        self._client = client

    @property
    def _kept(self) -> Cookies:
        return self._client.session().cookies

    def __getitem__(self, name: str) -> str:
        return self._kept[name]

    def __setitem__(self, name: str, value: str) -> None:
        self._kept.set(name, str(value), self._client.base.origin)

    def __delitem__(self, name: str) -> None:
        left = {one: value for one, value in self._kept.as_dict().items() if one != name}
        self._kept.clear()
        self.update(left)

    def __iter__(self) -> Iterator[str]:
        return iter(self._kept.as_dict())

    def __len__(self) -> int:
        return len(self._kept)

    def set(self, name: str, value: str | None, **_: object) -> None:
        """Set a cookie for all paths of the host; None removes it."""
        if value is None:
            self.pop(name, None)
        else:
            self[name] = value

    def get_dict(self, **_: object) -> dict[str, str]:
        """Return all cookies."""
        return dict(self)


class SentHeaders(MutableMapping[str, str]):
    """The headers that the client sends with each request, by case-insensitive name."""

    def __init__(self, client: HttpSession, given: Mapping[str, str]) -> None:
        self._client = client
        self._values = {name.lower(): (name, value) for name, value in given.items()}

    def __getitem__(self, name: str) -> str:
        return self._values[name.lower()][1]

    def __setitem__(self, name: str, value: str) -> None:
        self._values[name.lower()] = name, value
        self._client.send_always(name, value)

    def __delitem__(self, name: str) -> None:
        del self._values[name.lower()]
        self._client.send_always(name, None)

    def __iter__(self) -> Iterator[str]:
        return (name for name, _ in self._values.values())

    def __len__(self) -> int:
        return len(self._values)


class HttpSession(Carried):
    """A client with connection reuse and cookies.

    Attributes:
        base_url: URL that paths are appended to.
        base: The same, parsed.
        user: Its user, if any.
        request_event: Fired for each request.
        request_name: Default name of requests.
    """

    _called = "client"
    NO_TEXT: str | None = ""
    _SENT: Mapping[str, str] = {"Accept": "*/*"}
    _KEEPS_QUERY = True
    """Whether query parameters are part of a request's default name."""
    _ASKS_FOR_JSON = False

    def __init__(
        self,
        base_url: str,
        request_event: EventHook,
        user: User | None = None,
        *,
        headers: Mapping[str, str] | None = None,
        **config: Unpack[SessionOptions],
    ) -> None:
        """Create a client.

        Args:
            base_url: URL that paths are appended to.
            request_event: Fired for each request.
            user: Its user.
            headers: Headers of all requests.
            config: Arguments of `amoc.http.session`.
        """
        self.base_url = base_url
        self.base: Address = parse(base_url.rstrip("/"))
        self.request_event = request_event
        self.user = user
        self.request_name: str | None = None
        self._verify: bool | str = True
        self._cert: Cert = None
        self.trust_env = False
        self._headers = SentHeaders(self, {**self._SENT, **(headers or {})})
        self._config: SessionOptions = {"redirects": REDIRECTS, **config}
        self._auth: tuple[str, str] | None = None
        self._sessions: dict[tuple[bool | str, Cert], http.Session] = {}
        self._usual: http.Session | None = None

    @property
    def verify(self) -> bool | str:
        """Whether to verify certificates, or a file of CA certificates to trust."""
        return self._verify

    @verify.setter
    def verify(self, verify: bool | str) -> None:
        self._verify, self._usual = verify, None

    @property
    def cert(self) -> Cert:
        """Client certificate: a file, or a pair of the files of certificate and key."""
        return self._cert

    @cert.setter
    def cert(self, cert: Cert | list[str]) -> None:
        self._cert = arguments.certificate(cert)
        self._usual = None

    @property
    def auth(self) -> tuple[str, str] | None:
        """User and password for all requests."""
        return self._auth

    @auth.setter
    def auth(self, auth: object) -> None:
        self._auth = None if auth is None else arguments.login(auth)

    @property
    def headers(self) -> SentHeaders:
        """Headers of all requests. Assigning a mapping replaces them."""
        return self._headers

    @headers.setter
    def headers(self, headers: Mapping[str, str]) -> None:
        if headers is not self._headers:  # they are the same after |=
            self._headers.clear()
            self._headers.update(headers)

    @property
    def cookies(self) -> CookieJar:
        """The client's cookies. Assigning a mapping replaces them."""
        return CookieJar(self)

    @cookies.setter
    def cookies(self, cookies: Mapping[str, str]) -> None:
        kept = dict(cookies)
        self.cookies.clear()
        self.cookies.update(kept)

    @contextmanager
    def rename_request(self, name: str) -> Iterator[None]:
        """Name all requests in the block `name`."""
        self.request_name = name
        try:
            yield
        finally:
            self.request_name = None

    def get(self, url: str, **options: Unpack[CallOptions]) -> Response:
        """``GET``; see `request`."""
        return self.request("GET", url, **options)

    def head(self, url: str, **options: Unpack[CallOptions]) -> Response:
        """``HEAD``; see `request`."""
        options.setdefault("allow_redirects", False)
        return self.request("HEAD", url, **options)

    def options(self, url: str, **options: Unpack[CallOptions]) -> Response:
        """``OPTIONS``; see `request`."""
        return self.request("OPTIONS", url, **options)

    def delete(self, url: str, **options: Unpack[CallOptions]) -> Response:
        """``DELETE``; see `request`."""
        return self.request("DELETE", url, **options)

    def post(
        self,
        url: str,
        data: Data | Form | None = None,
        json: object = None,
        **options: Unpack[PostOptions],
    ) -> Response:
        """``POST``; see `request`."""
        return self.request("POST", url, data=data, json=json, **options)

    def put(
        self, url: str, data: Data | Form | None = None, **options: Unpack[PutOptions]
    ) -> Response:
        """``PUT``; see `request`."""
        return self.request("PUT", url, data=data, **options)

    def patch(
        self, url: str, data: Data | Form | None = None, **options: Unpack[PutOptions]
    ) -> Response:
        """``PATCH``; see `request`."""
        return self.request("PATCH", url, data=data, **options)

    def request(
        self,
        method: str,
        url: str,
        name: str | None = None,
        catch_response: bool = False,
        **given: Unpack[RequestOptions],
    ) -> Response:
        """Make a request. Does not raise if there is no response.

        Args:
            method: Such as ``GET``.
            url: A path on the host, or an absolute URL.
            name: Name in the results, after the method.
            catch_response: Whether a ``with`` block determines success or failure.
            given: ``params``, ``data``, ``json``, ``files``, ``headers``, ``cookies``, ``auth``,
                ``timeout``, ``allow_redirects``, ``stream``, ``verify``, ``cert``, ``context``.

        Returns:
            The response; its status is 0 if there was none.

        Raises:
            NotCarried: An argument is not supported.
            UserStopped: The user was asked to stop while waiting.
        """
        begun = time.time()
        if self._auth is not None:
            given.setdefault("auth", self._auth)
        name = name or self.request_name
        if not given and self.base.target == "/" and PLAIN.fullmatch(url):
            shown = name or url
            session = self._usual or self.session()
            answer, broken = session.attempt(method, url, {"name": f"{method} {shown}"})
            whole = url
        else:
            where, whole = self._where(url, given.get("params"))
            shown = name or (where if self._KEEPS_QUERY else url)
            session = self.session(given.get("verify"), given.get("cert"))
            kept = session.cookies.as_dict() if given.get("cookies") else {}
            options = arguments.options_of(given, kept, self._ASKS_FOR_JSON)
            options["name"] = f"{method} {shown}"
            streams = bool(given.get("stream"))
            answer, broken = session.attempt(method, whole, options, streams=streams)
        asked = method, shown, whole, given.get("context"), begun
        return Response(self, answer, broken, asked, catch_response)

    def _where(self, url: str, params: Form | str | bytes | None) -> tuple[str, str]:
        """Return the path with the query, and the whole URL."""
        there = parse(url) if _ABSOLUTE.match(url) else join(self.base, url)
        target = there.target
        if isinstance(params, bytes | str):
            text = params.decode() if isinstance(params, bytes) else params
            target += f"{'&' if '?' in target else '?'}{text}" if text else ""
        elif params:
            target = with_query(target, arguments.query(params))
        user = there.user
        login = "" if user is None else f"{user}:{there.password or ''}@"
        origin = str(there.origin)
        if login:
            origin = origin.replace("://", f"://{login}", 1)
        return target, f"{origin}{target}"

    def session(
        self, verify: bool | str | None = None, cert: Cert | list[str] = None
    ) -> http.Session:
        """Return the session for these certificates. All sessions share their cookies."""
        verify = self._verify if verify is None else verify
        cert = self._cert if cert is None else arguments.certificate(cert)
        known = self._sessions.get((verify, cert))
        if known is None:
            known = self._sessions[verify, cert] = self._opened(verify, cert)
        if (verify, cert) == (self._verify, self._cert):
            self._usual = known
        return known

    def _opened(self, verify: bool | str, cert: Cert) -> http.Session:
        certificate, key = (cert, "") if isinstance(cert, str) else cert or ("", "")
        made = http.session(
            self.base_url.rstrip("/"),
            headers=dict(self.headers),
            raises=False,
            verify=bool(verify),
            ca=verify if isinstance(verify, str) else None,
            certificate=certificate,
            key=key,
            **self._config,
        )
        for other in self._sessions.values():
            made.share_cookies(other)
            break
        return made

    def whole(self, url: str) -> str:
        """Return a path with the host in front of it."""
        return f"{self.base.origin}{url}" if url.startswith("/") else url

    def send_always(self, name: str, value: str | None) -> None:
        """Send a header with all further requests; None removes it."""
        for one in self._sessions.values():
            one.set_header(name, value)

    def finish(self, answer: Answer) -> None:
        """Discard the rest of a stream."""
        for one in self._sessions.values():
            one.finish(answer)

    def close(self) -> None:
        """Close all connections."""
        for one in self._sessions.values():
            one.close()


class FastHttpSession(HttpSession):
    """The client of `FastHttpUser`: it does not verify certificates, and accepts JSON."""

    NO_TEXT = None
    _KEEPS_QUERY = False
    _ASKS_FOR_JSON = True
    _SENT: Mapping[str, str] = {}

    def __init__(
        self,
        base_url: str,
        request_event: EventHook,
        user: User | None = None,
        insecure: bool = True,
        *,
        headers: Mapping[str, str] | None = None,
        **config: Unpack[SessionOptions],
    ) -> None:
        super().__init__(base_url, request_event, user, headers=headers, **config)
        self._verify = not insecure

    @property
    def cookiejar(self) -> CookieJar:
        """The client's cookies."""
        return self.cookies

    def head(self, url: str, **options: Unpack[CallOptions]) -> Response:
        """``HEAD``; see `request`."""
        return self.request("HEAD", url, **options)

    def iter_lines(
        self, url: str, method: str = "GET", **options: Unpack[CallOptions]
    ) -> Iterable[str | bytes]:
        """Yield the lines of a response as they arrive."""
        options["stream"] = True
        response = self.request(method, url, **options)
        response.raise_for_status()
        return response.iter_lines(decode_unicode=True)
