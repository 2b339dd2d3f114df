"""What a session is made with, settings included."""

from __future__ import annotations

import netrc as _netrc
import urllib.request
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Final

from gevent import getcurrent

from amoc.base.errors import ScenarioError
from amoc.base.text import names_in
from amoc.base.tls_context import TlsOptions
from amoc.http import options
from amoc.http.connecting import Dns, Proxy, Route
from amoc.http.request import Auth
from amoc.http.urls import Origin

ENVIRONMENT: Final = "environment"
MAX_BODY_BYTES: Final = 64 << 20
MAX_IDLE: Final = 8
MAX_REDIRECTS: Final = 10


@dataclass(slots=True)
class Config:
    """How a session makes its requests; never changed, though a frozen one takes longer to make."""

    route: Route
    timeout: float
    """For a whole request, in seconds."""
    read_timeout: float | None
    """How long a server may be silent; None: as long as a request may take."""
    headers: Mapping[str, object]
    auth: Auth | None
    proxy: str
    """A URL, or `ENVIRONMENT`; empty: none."""
    netrc: bool
    """Whether passwords are looked up in ``.netrc``."""
    redirects: int
    max_body: int
    keeps_cookies: bool
    max_idle: int
    """Connections to one server that are kept between requests."""
    raises: bool

    def proxy_for(self, origin: Origin) -> Proxy | None:
        """The proxy through which `origin` is reached."""
        if self.proxy != ENVIRONMENT:
            return _proxy(self.proxy) if self.proxy else None
        found = urllib.request.getproxies().get(origin.scheme)
        if not found or urllib.request.proxy_bypass(origin.host):
            return None
        return _proxy(found)

    def auth_for(self, origin: Origin) -> Auth | None:
        """What the user's ``.netrc`` knows about a server, if it may be asked."""
        if not self.netrc:
            return None
        found = _netrc_file().get(origin.host)
        return (found[0], found[2] or "") if found else None


@lru_cache(maxsize=64)
def _proxy(url: str) -> Proxy:
    return Proxy.at(url)


@lru_cache(maxsize=1)
def _netrc_file() -> Mapping[str, tuple[str, str, str | None]]:
    """Read once in a worker."""
    try:
        return _netrc.netrc().hosts
    except FileNotFoundError:
        return {}
    except (OSError, _netrc.NetrcParseError) as error:
        raise ScenarioError(f"netrc=True, but .netrc cannot be read: {error}") from None


def route(
    *,
    verify: bool | None,
    ca: str | None,
    certificate: str,
    key: str,
    server_name: str | None,
    connect_timeout: float | None,
    dns: Dns,
    source: str | Sequence[str] | None,
    resume: bool,
) -> Route:
    """How connections are made, by what the scenario and the settings say."""
    if key and not certificate:
        raise ScenarioError(f"key= must go with certificate=, got {key!r} alone")
    tls = _tls_options(
        verify=options.http_tls_verify.get() if verify is None else verify,
        ca=options.http_tls_ca.get() if ca is None else ca,
        certificate=certificate,
        key=key,
        minimum_version=options.http_tls_minimum_version.get(),
    )
    seconds = options.http_connect_timeout.get() if connect_timeout is None else connect_timeout
    return Route(tls, seconds, dns, _source(source), server_name, resume)


_tls_options: Final = lru_cache(maxsize=64)(TlsOptions)  # most sessions have the same


def _source(given: str | Sequence[str] | None) -> str | None:
    """The local address to connect from: users take those that there are in turn."""
    sources: Sequence[str]
    if given is None:
        sources = names_in(options.http_source_addresses.get())
    else:
        sources = [given] if isinstance(given, str) else given
    if not sources:
        return None
    user_id: int = getattr(getcurrent(), "id", 0)
    return sources[user_id % len(sources)]
