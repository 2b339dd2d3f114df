"""Settings of the exporters, which send a run's metrics to other systems while it runs. Pure."""

from __future__ import annotations

import re
from urllib.parse import urlsplit

from amoc.scenario.bounds import between
from amoc.scenario.settings import setting

_HOST = re.compile(r"([\w.-]+|[0-9a-fA-F:.]+(%\w+)?)?")
_URL = re.compile(r"[!-~]+")
"""`urlsplit` accepts control characters, which HTTP does not."""
_A_URL = "must be a URL such as http://127.0.0.1:8080"
_PREFIX = re.compile(r"([A-Za-z0-9_-]+(\.[A-Za-z0-9_-]+)*)?")


_port = between(1, 65_535)
_from_0_to_1 = between(0, 1)


def _share(value: float | None) -> None:
    if value is not None:
        _from_0_to_1(value)


def _host(text: str) -> None:
    if not _HOST.fullmatch(text):
        raise ValueError("must be a host name or an IP address, without a port")


def _listen(text: str) -> None:
    if not text:
        raise ValueError("must be an IP address; 0.0.0.0 listens on all interfaces")
    _host(text)


def _prefix(text: str) -> None:
    if not _PREFIX.fullmatch(text):
        raise ValueError("must be letters, digits, '_' and '-', in parts separated by dots")


def _web(text: str) -> None:
    if not text:
        return
    if not _URL.fullmatch(text):
        raise ValueError("must be a URL without blanks, and with %-codes beyond ASCII")
    try:
        parts = urlsplit(text)
        _port(80 if parts.port is None else parts.port)
    except ValueError:  # brackets that do not match, or no valid port
        raise ValueError(f"{_A_URL}, with a port from 1 to 65535 if any") from None
    if parts.scheme not in ("http", "https") or not parts.hostname:
        raise ValueError(_A_URL)
    if parts.username is not None or parts.query or parts.fragment:
        raise ValueError("must be a URL without user, query or fragment, since it is shown")


graphite_host = setting(
    "", "Host of carbon, to send metrics to Graphite (empty: off)", verify=_host
)
graphite_port = setting(2003, "Port of carbon's line protocol", verify=_port)
graphite_prefix = setting("amoc", "Prefix of metric paths in Graphite", verify=_prefix)
graphite_web = setting(
    "", "URL of graphite-web, to send events: http://host:port (empty: off)", verify=_web
)
statsd_host = setting("", "Host of statsd, to send metrics to it (empty: off)", verify=_host)
statsd_port = setting(8125, "UDP port of statsd", verify=_port)
statsd_prefix = setting("amoc", "Prefix of metric names in statsd", verify=_prefix)
prometheus_port = setting(
    0,
    "Port on which to serve /metrics to Prometheus (0: off)",
    verify=between(0, 65_535, "from 1 to 65535, or 0 for none"),
)
prometheus_host = setting(
    "127.0.0.1",
    "Address on which to serve /metrics; beyond loopback, anybody can read the metrics",
    verify=_listen,
)
otel_endpoint = setting(
    "",
    "URL to send metrics and spans to by OTLP: http://host:4318 (empty: use OTEL_… variables)",
    verify=_web,
)
otel_traces = setting(
    None,
    "Share of traces whose steps are sent as spans by OTLP, from 0 to 1 (unset:"
    " OTEL_TRACES_SAMPLER decides; off without it)",
    type=float | None,
    verify=_share,
)
