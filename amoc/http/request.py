"""Pure. The head of a request, made from the headers of the session and of the request."""

from __future__ import annotations

from base64 import b64encode
from collections.abc import Mapping
from functools import lru_cache
from typing import Final, NamedTuple

from amoc.base.errors import ScenarioError
from amoc.http.headers import SECRET, block, line
from amoc.http.urls import Origin

SAFE: Final = frozenset({"GET", "HEAD", "PUT", "DELETE", "OPTIONS", "TRACE"})
"""Methods that are safe to repeat (RFC 9110 section 9.2.2)."""
WITH_LENGTH: Final = frozenset({"POST", "PUT", "PATCH"})
"""Methods whose requests send Content-Length even without a body."""

HeaderValues = Mapping[str, object]


class Bearer(NamedTuple):
    """A bearer token."""

    token: str


Auth = tuple[str, str] | Bearer


def bearer(token: str) -> Bearer:
    """Return authorization by token (RFC 6750): ``http.session(url, auth=http.bearer(token))``."""
    return Bearer(token)


def authorization(auth: Auth) -> str:
    """Return the value of the Authorization header.

    Raises:
        ScenarioError: `auth` is neither a user with a password nor a token.
    """
    if isinstance(auth, Bearer):
        return f"Bearer {auth.token}"
    if isinstance(auth, tuple) and len(auth) == 2:
        return "Basic " + b64encode(f"{auth[0]}:{auth[1]}".encode()).decode()
    raise ScenarioError(
        f"auth must be (user, password) or http.bearer(token), got {type(auth).__name__}"
    )


class Heads:
    """The header lines that all requests of a session share, cached per server.

    Attributes:
        home_end: Result of `end`, once it has been called; empty before.
    """

    __slots__ = ("_auth", "_headers", "_home", "_home_lines", "_known", "_names", "home_end")

    def __init__(self, headers: HeaderValues, auth: Auth | None, home: Origin | None) -> None:
        """Use these headers. Secrets among them are only sent to `home`."""
        self._headers = headers
        self._auth = auth
        self._home = home
        self._home_lines, self.home_end = "", b""
        self._names: set[str] | None = None
        self._known: dict[Origin, str] = {}

    def set(self, name: str, value: object) -> None:
        """Change a header of all further requests; None removes it."""
        line(name, "" if value is None else value)
        self._headers = merged(self._headers, {name: value})
        self._home_lines, self.home_end = "", b""
        self._names = None
        self._known.clear()

    def end(self) -> bytes:
        """Return all that follows the request line, for requests to `home` without a body."""
        assert self._home is not None
        self.home_end = _end(self.lines(self._home))
        return self.home_end

    def lines(self, origin: Origin) -> str:
        """Return the header lines of a request that adds none of its own."""
        if origin is self._home:
            self._home_lines = self._home_lines or block(self.of(origin))
            return self._home_lines
        known = self._known.get(origin)
        if known is None:
            if len(self._known) > 100:
                self._known.clear()
            known = self._known[origin] = block(self.of(origin))
        return known

    def lines_with(self, origin: Origin, own: HeaderValues) -> str:
        """Return the header lines of a request with additional headers."""
        usual = self._names
        if usual is None:
            usual = self._names = {"host", "authorization", *map(str.lower, self._headers)}
        if usual.isdisjoint([name.lower() for name in own]):
            return self.lines(origin) + block(own)
        return block(merged(self.of(origin), own))

    def of(self, origin: Origin, strayed: bool = False) -> HeaderValues:
        """Return the headers of a request to `origin`, Host first.

        Args:
            origin: The server.
            strayed: Whether a redirect from another server led there. In a session without a home,
                secrets are sent to the servers that the scenario names, but not after redirects.
        """
        own = self._headers
        if origin != self._home if self._home is not None else strayed:
            own = without_secrets(own)
        elif self._auth is not None:
            own = merged({"Authorization": authorization(self._auth)}, own)
        return merged({"Host": origin.authority}, own)


@lru_cache(maxsize=64)
def _end(lines: str) -> bytes:
    # Cached so that sessions with equal headers share one object, which stays in the CPU's caches.
    return f"{lines}\r\n".encode("latin-1")


def merged(first: HeaderValues, second: HeaderValues) -> HeaderValues:
    """Return the headers of both. Where both have a name, in any case, the second's is used."""
    if not second:
        return first
    theirs = {name.lower() for name in second}
    return {
        **{name: value for name, value in first.items() if name.lower() not in theirs},
        **second,
    }


def without_secrets(headers: HeaderValues) -> HeaderValues:
    """Return the headers that may be sent to another server: none with secrets, and no Host."""
    return {
        name: value
        for name, value in headers.items()
        if (lower := name.lower()) not in SECRET and lower != "host"
    }


def framing(method: str, length: int | None, media: str) -> str:
    """Return the header lines that describe a body."""
    if length is None:
        said = "Transfer-Encoding: chunked\r\n"
    elif length or method in WITH_LENGTH:
        said = f"Content-Length: {length}\r\n"
    else:
        return ""
    return f"{_type_line(media)}{said}" if media else said


@lru_cache(maxsize=64)
def _type_line(media: str) -> str:
    return line("Content-Type", media)


def chunk(piece: bytes) -> bytes:
    """Return a piece of a body as an HTTP chunk, for bodies of unknown length."""
    return b"%x\r\n%b\r\n" % (len(piece), piece)
