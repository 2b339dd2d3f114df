"""The settings of HTTP, for operators; arguments of `http.session` come before them."""

from __future__ import annotations

from typing import Final

from amoc.base import tls_context
from amoc.scenario.builtin_settings import Seconds
from amoc.scenario.settings import setting

USER_AGENT: Final = "amoc"


def _positive(value: float) -> None:
    if not value > 0:
        raise ValueError("must be above 0")


http_timeout = setting(
    60.0,
    "How long a request may take, from looking the name up to the last byte, redirects included",
    type=Seconds,
    verify=_positive,
)
http_connect_timeout = setting(
    10.0,
    "How long looking up a name, connecting, and a TLS handshake may take, each",
    type=Seconds,
    verify=_positive,
)
http_tls_verify = setting(True, "Whether a server's certificate must be valid")
http_tls_ca = setting(
    "",
    "Certificates to trust: a PEM file, or a directory of them; empty: the system's",
    verify=tls_context.check_trust,
)
http_tls_minimum_version = setting(
    "1.2", "Oldest version of TLS that is accepted", verify=tuple(tls_context.VERSIONS)
)
http_source_addresses = setting(
    "",
    "Local addresses to connect from, comma-separated, which users take in turn; empty: the usual"
    " one. Each has some 28,000 ports for a server",
)
http_proxy = setting(
    "",
    "Proxy for all requests, as http://user:password@host:port; 'environment' reads http_proxy,"
    " https_proxy and no_proxy; empty: none",
)
