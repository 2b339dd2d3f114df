"""Settings of HTTP, for operators. Arguments of `http.session` take precedence over them."""

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
    "Time limit of a request, from the name lookup to the last byte, redirects included",
    type=Seconds,
    verify=_positive,
)
http_connect_timeout = setting(
    10.0,
    "Time limit of each of name lookup, TCP connect and TLS handshake",
    type=Seconds,
    verify=_positive,
)
http_tls_verify = setting(True, "Whether to verify server certificates")
http_tls_ca = setting(
    "",
    "Certificates to trust: a PEM file, or a directory of them; empty: the system's",
    verify=tls_context.check_trust,
)
http_tls_minimum_version = setting(
    "1.2", "Minimum version of TLS", verify=tuple(tls_context.VERSIONS)
)
http_source_addresses = setting(
    "",
    "Local addresses to connect from, comma-separated, shared round-robin by users; empty: chosen"
    " by the system. Each has about 28,000 ports per server",
)
http_proxy = setting(
    "",
    "Proxy for all requests, as http://user:password@host:port; 'environment' reads http_proxy,"
    " https_proxy and no_proxy; empty: none",
)
