"""Pure. What a request says: its head as bytes, from the headers of session and request."""

from __future__ import annotations

from base64 import b64encode
from collections.abc import Mapping
from functools import lru_cache
from typing import Final, NamedTuple

from amoc.base.errors import ScenarioError
from amoc.http.headers import SECRET, block, line
from amoc.http.urls import Origin

SAFE: Final = frozenset({"GET", "HEAD", "PUT", "DELETE", "OPTIONS", "TRACE"})
"""Methods that can be repeated without harm (RFC 9110 section 9.2.2)."""
WITH_LENGTH: Final = frozenset({"POST", "PUT", "PATCH"})
"""Methods whose requests say that they have no body."""

HeaderValues = Mapping[str, object]


class Bearer(NamedTuple):
    """Authorization with a token."""

    token: str


Auth = tuple[str, str] | Bearer


def bearer(token: str) -> Bearer:
    """Authorization with a token (RFC 6750): ``http.session(url, auth=http.bearer(token))``."""
    return Bearer(token)


def authorization(auth: Auth) -> str:
    """What the header Authorization says.

    Raises:
        ScenarioError: `auth` is neither user and password nor a token.
    """
    if isinstance(auth, Bearer):
        return f"Bearer {auth.token}"
    if isinstance(auth, tuple) and len(auth) == 2:
        return "Basic " + b64encode(f"{auth[0]}:{auth[1]}".encode()).decode()
    raise ScenarioError(
        f"auth must be (user, password) or http.bearer(token), got {type(auth).__name__}"
    )


class Heads:
    """The lines that all of a session's requests have, made once for each server.

    Attributes:
        home_end: `end`, once it is made; else empty.
    """

    __slots__ = ("_auth", "_headers", "_home", "_home_lines", "_known", "_names", "home_end")

    def __init__(self, headers: HeaderValues, auth: Auth | None, home: Origin | None) -> None:
        """Take a session's headers; only `home` is told its secrets."""
        self._headers = headers
        self._auth = auth
        self._home = home
        self._home_lines, self.home_end = "", b""
        self._names: set[str] | None = None
        self._known: dict[Origin, str] = {}

    def set(self, name: str, value: object) -> None:
        """Change a header of all later requests; None takes it away."""
        line(name, "" if value is None else value)
        self._headers = merged(self._headers, {name: value})
        self._home_lines, self.home_end = "", b""
        self._names = None
        self._known.clear()

    def end(self) -> bytes:
        """What follows the first line of a request to the session's own server, without a body."""
        assert self._home is not None
        self.home_end = f"{self.lines(self._home)}\r\n".encode("latin-1")
        return self.home_end

    def lines(self, origin: Origin) -> str:
        """The lines of a request without headers of its own."""
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
        """The lines of a request with headers of its own."""
        usual = self._names
        if usual is None:
            usual = self._names = {"host", "authorization", *map(str.lower, self._headers)}
        if usual.isdisjoint([name.lower() for name in own]):
            return self.lines(origin) + block(own)
        return block(merged(self.of(origin), own))

    def of(self, origin: Origin, strayed: bool = False) -> HeaderValues:
        """The headers of a request to `origin`, Host first.

        Args:
            origin: The server.
            strayed: Whether a redirect led there from another one. Without a home, whoever is asked
                directly is told the secrets.
        """
        own = self._headers
        if origin != self._home if self._home is not None else strayed:
            own = without_secrets(own)
        elif self._auth is not None:
            own = merged({"Authorization": authorization(self._auth)}, own)
        return merged({"Host": origin.authority}, own)


def merged(first: HeaderValues, second: HeaderValues) -> HeaderValues:
    """Headers of both; of those in both, in whatever case, the second's."""
    if not second:
        return first
    theirs = {name.lower() for name in second}
    return {
        **{name: value for name, value in first.items() if name.lower() not in theirs},
        **second,
    }


def without_secrets(headers: HeaderValues) -> HeaderValues:
    """Headers that a server may see which they are not meant for; nor is it told another's name."""
    return {
        name: value
        for name, value in headers.items()
        if (lower := name.lower()) not in SECRET and lower != "host"
    }


def framing(method: str, length: int | None, media: str) -> str:
    """The lines that say what body a request has."""
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
    """A piece of a body whose length is not known beforehand."""
    return b"%x\r\n%b\r\n" % (len(piece), piece)
