"""The configuration of a session, from its arguments and the settings."""

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
    """The configuration of a session. Never changed, but not frozen: that is slower to create."""

    route: Route
    timeout: float
    """Time limit of a whole request, in seconds."""
    read_timeout: float | None
    """Time limit for each wait for data from the server, in seconds; None for none of its own."""
    headers: Mapping[str, object]
    auth: Auth | None
    proxy: str
    """A URL, or `ENVIRONMENT`; empty for none."""
    netrc: bool
    """Whether to look up passwords in ``.netrc``."""
    redirects: int
    max_body: int
    keeps_cookies: bool
    max_idle: int
    """Maximum number of idle connections to keep per server."""
    raises: bool

    def proxy_for(self, origin: Origin) -> Proxy | None:
        """Return the proxy to use for `origin`; None for a direct connection."""
        if self.proxy != ENVIRONMENT:
            return _proxy(self.proxy) if self.proxy else None
        found = urllib.request.getproxies().get(origin.scheme)
        if not found or urllib.request.proxy_bypass(origin.host):
            return None
        return _proxy(found)

    def auth_for(self, origin: Origin) -> Auth | None:
        """Return the credentials in ``.netrc`` for a server, if `netrc` is set."""
        if not self.netrc:
            return None
        found = _netrc_file().get(origin.host)
        return (found[0], found[2] or "") if found else None


@lru_cache(maxsize=64)
def _proxy(url: str) -> Proxy:
    return Proxy.at(url)


@lru_cache(maxsize=1)
def _netrc_file() -> Mapping[str, tuple[str, str, str | None]]:
    """Return the entries of ``.netrc``, which each worker reads once."""
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
    """Return how to make connections, from the scenario's arguments and the settings."""
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
    """Return the local address to connect from; users share the given ones round-robin, by id."""
    sources: Sequence[str]
    if given is None:
        sources = names_in(options.http_source_addresses.get())
    else:
        sources = [given] if isinstance(given, str) else given
    if not sources:
        return None
    user_id: int = getattr(getcurrent(), "id", 0)
    return sources[user_id % len(sources)]
