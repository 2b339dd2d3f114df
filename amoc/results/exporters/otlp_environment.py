"""Targets and options of OpenTelemetry data, from its standard environment variables. Pure.

https://opentelemetry.io/docs/specs/otel/protocol/exporter/ and …/sdk-environment-variables/: those
for one signal (``OTEL_EXPORTER_OTLP_METRICS_HEADERS``) take precedence over those for all, times
are in milliseconds, and empty variables count as not set.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import NamedTuple
from urllib.parse import unquote, urlsplit

from amoc._version import VERSION
from amoc.base.errors import SettingError, value_error_as
from amoc.base.text import cut
from amoc.results.exporters.base import RunInfo

PREFIX = "OTEL_EXPORTER_OTLP_"
TIMEOUT_S = 10.0
INTERVAL_S = 1.0
"""The specification's default is a minute, meant for programs that run for days."""
_SHARES = {"": 0.0, "always_on": 1.0, "always_off": 0.0}


class Target(NamedTuple):
    """Where to send the data of one signal.

    Attributes:
        url: The complete URL, including its path.
        headers: HTTP headers sent with the data.
        timeout_s: How long the receiver may take.
        is_compressed: Whether to compress the data with gzip.
        certificate: A file of trusted certificates; empty: the system's.
    """

    url: str
    headers: Mapping[str, str]
    timeout_s: float
    is_compressed: bool
    certificate: str


class MetricOptions(NamedTuple):
    """How to send metrics.

    Attributes:
        is_delta: Whether counts are those since the last request, rather than since the run began.
        is_exponential: Whether histograms have exponential buckets, rather than explicit ones.
        interval_s: How often they are sent.
    """

    is_delta: bool = False
    is_exponential: bool = False
    interval_s: float = INTERVAL_S


def target(environ: Mapping[str, str], endpoint: str, signal: str) -> Target | None:
    """Return where to send `signal`, ``metrics`` or ``traces``; None if it is not to be sent.

    Args:
        environ: The environment.
        endpoint: The setting, which takes precedence over the environment; empty if not set.
        signal: In lower case.

    Raises:
        SettingError: A variable is invalid; a line for each.
    """
    url = f"{endpoint.rstrip('/')}/v1/{signal}" if endpoint else _endpoint(environ, signal)
    if not url:
        return None
    problems: list[str] = []
    headers: dict[str, str] = {}
    timeout_s, is_compressed = TIMEOUT_S, False
    try:
        parts = urlsplit(url)
        is_fine = parts.scheme in ("http", "https") and bool(parts.hostname) and parts.port != 0
    except ValueError:
        is_fine = False
    if not is_fine:
        problems.append(f"the OTLP endpoint must be an HTTP URL, got {cut(url)}")
    name, protocol = _of(environ, signal, "PROTOCOL")
    if protocol not in ("", "http/protobuf"):
        problems.append(
            f"{name} must be http/protobuf, the only one supported, got {cut(protocol)}"
        )
    name, text = _of(environ, signal, "HEADERS")
    try:
        headers = pairs(text)
    except ValueError as error:
        problems.append(f"{name} {error}")
    name, text = _of(environ, signal, "TIMEOUT")
    try:
        timeout_s = _seconds(text, TIMEOUT_S)
    except ValueError as error:
        problems.append(f"{name} {error}")
    name, text = _of(environ, signal, "COMPRESSION")
    if text not in ("", "none", "gzip"):
        problems.append(f"{name} must be gzip or none, got {cut(text)}")
    is_compressed = text == "gzip"
    if problems:
        raise SettingError(*problems)
    return Target(url, headers, timeout_s, is_compressed, _of(environ, signal, "CERTIFICATE")[1])


def _endpoint(environ: Mapping[str, str], signal: str) -> str:
    is_off = environ.get("OTEL_SDK_DISABLED", "").strip().lower() == "true"
    if is_off or environ.get(f"OTEL_{signal.upper()}_EXPORTER", "otlp").strip() == "none":
        return ""
    own = environ.get(f"{PREFIX}{signal.upper()}_ENDPOINT", "").strip()
    common = environ.get(f"{PREFIX}ENDPOINT", "").strip().rstrip("/")
    return own or (f"{common}/v1/{signal}" if common else "")


def _of(environ: Mapping[str, str], signal: str, what: str) -> tuple[str, str]:
    """Return name and value of a variable: the one for the signal if set, else the one for all."""
    own, common = f"{PREFIX}{signal.upper()}_{what}", f"{PREFIX}{what}"
    text = environ.get(own, "").strip()
    return (own, text) if text else (common, environ.get(common, "").strip())


def pairs(text: str) -> dict[str, str]:
    """Parse ``key=value,key=value`` with %-codes, the format of headers and attributes.

    Raises:
        ValueError: It is something else; the message is a clause that follows its name.
    """
    found: dict[str, str] = {}
    for one in filter(None, map(str.strip, text.split(","))):
        key, equals, value = one.partition("=")
        if not (equals and key.strip()):
            raise ValueError("must be key=value, with commas between several")
        found[unquote(key.strip())] = unquote(value.strip())
    return found


def _seconds(text: str, otherwise: float) -> float:
    if not text:
        return otherwise
    if not text.isdecimal() or not 0 < int(text) <= 1e9:
        raise ValueError(f"must be in whole milliseconds above 0, got {cut(text)}")
    return int(text) / 1000


def sampled_share(environ: Mapping[str, str]) -> float:
    """Return the share of traces to sample, from 0 to 1; 0 if no sampler is chosen.

    Raises:
        SettingError: OTEL_TRACES_SAMPLER or OTEL_TRACES_SAMPLER_ARG is invalid.
    """
    # A trace begins with a step, so none has a parent, and its sampler is the one for roots.
    text = environ.get("OTEL_TRACES_SAMPLER", "").strip().lower()
    sampler = text.removeprefix("parentbased_")
    if sampler in _SHARES:
        return _SHARES[sampler]
    if sampler != "traceidratio":
        raise SettingError(
            "OTEL_TRACES_SAMPLER must be one of always_on, always_off, traceidratio, or"
            f" parentbased_ and one of them, got {cut(text)}"
        )
    share = environ.get("OTEL_TRACES_SAMPLER_ARG", "").strip() or "1"
    try:
        ratio = float(share)
    except ValueError:
        ratio = -1.0
    if not 0 <= ratio <= 1:
        raise SettingError(f"OTEL_TRACES_SAMPLER_ARG must be from 0 to 1, got {cut(share)}")
    return ratio


def metric_options(environ: Mapping[str, str]) -> MetricOptions:
    """Return how to send metrics.

    Raises:
        SettingError: A variable is invalid; a line for each.
    """
    problems: list[str] = []

    def chosen(name: str, known: Mapping[str, bool]) -> bool:
        text = environ.get(name, "").strip().lower()
        if text and text not in known:
            problems.append(f"{name} must be one of {', '.join(known)}, got {cut(text)}")
        return known.get(text, False)

    is_delta = chosen(
        f"{PREFIX}METRICS_TEMPORALITY_PREFERENCE",
        {"cumulative": False, "delta": True, "lowmemory": True},
    )
    is_exponential = chosen(
        f"{PREFIX}METRICS_DEFAULT_HISTOGRAM_AGGREGATION",
        {"explicit_bucket_histogram": False, "base2_exponential_bucket_histogram": True},
    )
    interval_s = INTERVAL_S
    try:
        interval_s = _seconds(environ.get("OTEL_METRIC_EXPORT_INTERVAL", "").strip(), INTERVAL_S)
    except ValueError as error:
        problems.append(f"OTEL_METRIC_EXPORT_INTERVAL {error}")
    if problems:
        raise SettingError(*problems)
    return MetricOptions(is_delta, is_exponential, interval_s)


def resource(environ: Mapping[str, str], run: RunInfo) -> dict[str, str]:
    """Return what the data describes: this run of amoc, and attributes from the environment.

    Raises:
        SettingError: OTEL_RESOURCE_ATTRIBUTES is invalid.
    """
    with value_error_as(SettingError, "OTEL_RESOURCE_ATTRIBUTES "):
        given = pairs(environ.get("OTEL_RESOURCE_ATTRIBUTES", ""))
    own = {
        "service.name": "amoc",
        "service.version": VERSION,
        "service.instance.id": run.run_id,
        "amoc.scenario": run.scenario,
    }
    if name := environ.get("OTEL_SERVICE_NAME", "").strip():
        given["service.name"] = name
    return {**own, **given}
