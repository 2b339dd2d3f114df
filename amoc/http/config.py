"""The configuration of a session, from its arguments and the settings."""

from __future__ import annotations

import netrc as _netrc
import urllib.request
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Final, TypeVar

from gevent import getcurrent

from amoc.base.errors import ScenarioError
from amoc.base.text import names_in
from amoc.base.tls_context import TlsOptions
from amoc.http import options
from amoc.http.connecting import Proxy, Route
from amoc.http.request import Auth
from amoc.http.urls import Origin
from amoc.scenario.settings import Setting

T = TypeVar("T")
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


tls_options: Final = lru_cache(maxsize=64)(TlsOptions)  # most sessions have the same


def chosen(given: T | None, setting: Setting[T]) -> T:
    """Return an argument of the scenario, or the value of a setting if it is None."""
    return setting.get() if given is None else given


def source_of(given: str | Sequence[str] | None) -> str | None:
    """Return the local address to connect from; users share the given ones round-robin, by id."""
    said = options.http_source_addresses.get() if given is None else given
    sources = names_in(said) if isinstance(said, str) else said
    if not sources:
        return None
    user_id: int = getattr(getcurrent(), "id", 0)
    return sources[user_id % len(sources)]
