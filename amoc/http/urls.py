"""Pure. URLs: the server and target of a request, and its name.

yarl implements the rules. URLs that need none of them, as most in a load test, bypass it.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from functools import lru_cache
from typing import Final, NamedTuple
from urllib.parse import quote

from yarl import URL

from amoc.base.errors import ScenarioError
from amoc.base.redaction import HIDDEN, hide, is_secret
from amoc.base.text import cut

MAX_KNOWN: Final = 4096
"""Maximum number of URLs that a worker caches."""
MAX_KNOWN_LENGTH: Final = 200
PORTS: Final = {"http": 80, "https": 443}
PLAIN: Final = re.compile(r"/(?!/)[!$%&'()*+,./0-9:;=?@A-Z_a-z~-]*")
"""A path, with or without a query, that needs no quoting."""
_HOST: Final = re.compile(r"[\w.:%-]+", re.ASCII)
_PARAMETER: Final = re.compile(r"([?&]([^=&?#]*)=)[^&#]*")
_UNRESERVED: Final = re.compile(r"[A-Za-z0-9_.~-]*")
"""Text that `quote` would not change. This check takes a fraction of its time."""
_PLACE: Final = re.compile(r"\{(\w+)\}")

Query = Mapping[str, object] | Iterable[tuple[str, object]]


class Origin(NamedTuple):
    """A server: scheme, host and port."""

    scheme: str
    host: str
    """Host name, or IP address without brackets."""
    port: int

    @property
    def secure(self) -> bool:
        """Whether it uses TLS."""
        return self.scheme == "https"

    @property
    def authority(self) -> str:
        """Value of the Host header: the port is left out if it is the default one."""
        host = f"[{self.host}]" if ":" in self.host else self.host
        return host if self.port == PORTS[self.scheme] else f"{host}:{self.port}"

    def __str__(self) -> str:
        return f"{self.scheme}://{self.authority}"


class Address(NamedTuple):
    """The URL of a request, in parts."""

    origin: Origin
    target: str
    """Path and query, quoted."""
    user: str | None = None
    password: str | None = None

    @property
    def path(self) -> str:
        """The target without the query."""
        return self.target.partition("?")[0]

    def __str__(self) -> str:
        return f"{self.origin}{self.target}"


known_lines: Final[dict[str, bytes]] = {}
"""Request lines that `line_of` has made, by path."""


def line_of(path: str) -> bytes:
    """Return the request line of a GET; empty if the path needs quoting."""
    line = known_lines.get(path)
    if line is None:
        line = b"GET %b HTTP/1.1\r\n" % path.encode() if PLAIN.fullmatch(path) else b""
        if line and len(known_lines) < MAX_KNOWN and len(path) <= MAX_KNOWN_LENGTH:
            known_lines[path] = line
    return line


@lru_cache(maxsize=MAX_KNOWN)
def parse(url: str) -> Address:
    """Return the address of an absolute URL.

    Raises:
        ScenarioError: It is not a valid HTTP URL.
    """
    return _address(_url(url), url)


def join(base: Address, path: str) -> Address:
    """Return the address of a path relative to a base URL, whose own path is put in front.

    An absolute URL is used as it is.

    Raises:
        ScenarioError: As for `parse`.
    """
    if "://" in path:
        return parse(path)
    prefix = base.path.rstrip("/")
    whole = prefix + (path if path.startswith(("/", "?")) else f"/{path}" if path else "")
    if not PLAIN.fullmatch(whole):
        whole = _url(f"{base.origin}{whole}").raw_path_qs
    return base._replace(target=whole or "/")


def redirected(here: Address, location: str) -> Address:
    """Return the address that a Location header points to.

    Raises:
        ScenarioError: It is not a valid HTTP URL.
    """
    found = _address(_url(str(here)).join(_url(location)), location)
    return found if found.origin != here.origin else found._replace(target=found.target)


def with_query(target: str, query: Query) -> str:
    """Add query parameters to a target. Sequences give several, None gives none."""
    pairs = query.items() if isinstance(query, Mapping) else query
    parts = [
        f"{_quoted(name)}={_quoted(one)}"
        for name, value in pairs
        for one in (value if isinstance(value, list | tuple) else (value,))
        if one is not None
    ]
    if not parts:
        return target
    return f"{target}{'&' if '?' in target else '?'}{'&'.join(parts)}"


def fill(template: str, values: Mapping[str, object]) -> str:
    """Replace each ``{name}`` of a path by the quoted value of that name.

    Raises:
        ScenarioError: A value is missing, or is not used.
    """
    wanted = set(_PLACE.findall(template))
    if wanted != set(values):
        raise ScenarioError(
            f"path= must have a value for each of {sorted(wanted)} in {template!r}, got"
            f" {sorted(values)}"
        )
    return _PLACE.sub(lambda found: _quoted(values[found[1]]), template)


def _quoted(value: object) -> str:
    text = str(value)
    return text if _UNRESERVED.fullmatch(text) else quote(text, safe="")


def named(url: str) -> str:
    """Return a URL as request names show it: without query, fragment and user."""
    url = url.partition("?")[0].partition("#")[0]
    scheme, mark, rest = url.partition("://")
    authority, slash, path = rest.partition("/")
    return f"{scheme}{mark}{authority.rpartition('@')[2]}{slash}{path}" if mark else url


def discreet(url: str) -> str:
    """Return a URL without its password and without the secret parameters of its query."""
    return _PARAMETER.sub(
        lambda one: f"{one[1]}{HIDDEN}" if is_secret(one[2]) else one[0], hide(url)
    )


def shown(url: object) -> str:
    """Return a URL for a message: `discreet`, and cut."""
    return cut(discreet(str(url)))


def _url(text: str) -> URL:
    try:
        return URL(text)
    except (ValueError, TypeError) as error:
        raise ScenarioError(f"{shown(text)} is not a valid URL: {error}") from None


def _address(url: URL, said: str) -> Address:
    try:
        scheme, host, port = url.scheme, url.raw_host, url.port
    except ValueError as error:
        raise ScenarioError(f"{shown(said)} is not a valid URL: {error}") from None
    if scheme not in PORTS or not host or not _HOST.fullmatch(host) or not port:
        raise ScenarioError(
            f"an address must be a URL such as http://host:port/path, got {shown(said)}"
        )
    origin = Origin(scheme, host, port)
    return Address(origin, url.raw_path_qs or "/", url.user, url.password)
