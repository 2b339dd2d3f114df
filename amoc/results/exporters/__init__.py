"""Exporters of a run's metrics while it runs: Graphite, statsd, Prometheus, OpenTelemetry."""

from __future__ import annotations

import os
from collections.abc import Mapping
from importlib.util import find_spec

from amoc.base.errors import ResourceError, SettingError
from amoc.results.exporters import otlp_environment
from amoc.results.exporters.base import Exporter, RunInfo, Warn

__all__ = ["Exporter", "RunInfo", "start"]


_MISSING = "OpenTelemetry needs opentelemetry-proto: pip install 'amoc[otel]'"


def start(values: Mapping[str, str], run: RunInfo, warn: Warn) -> list[Exporter]:
    """Start the exporters configured in `values`; they run on the caller's gevent hub.

    Args:
        values: amoc's own settings as text, by name.
        run: The run's identity.
        warn: Called with the first problem of each backend; must neither block nor raise.

    Raises:
        ResourceError: prometheus_port cannot be listened on, or otel_endpoint or otel_traces is
            set and the package that they need is missing; nothing is left running.
        SettingError: An OpenTelemetry environment variable is invalid.
    """
    to_otlp = _otlp(values["otel_endpoint"], run, warn)
    # Workers send the spans; what is wrong is reported once, before they start.
    share = values["otel_traces"]
    spans(values["otel_endpoint"], None if share == str(None) else float(share))
    # Exporters that are not used are not imported either.
    started: list[Exporter] = []
    if port := int(values["prometheus_port"]):
        from amoc.results.exporters.prometheus import Prometheus

        started.append(Prometheus(values["prometheus_host"], port, run, warn))
    if host := values["graphite_host"]:
        from amoc.results.exporters.graphite import Graphite

        port, prefix = int(values["graphite_port"]), values["graphite_prefix"]
        started.append(Graphite(host, port, prefix, warn))
    if url := values["graphite_web"]:
        from amoc.results.exporters.graphite_events import GraphiteEvents

        started.append(GraphiteEvents(url, run, warn))
    if host := values["statsd_host"]:
        from amoc.results.exporters.statsd import Statsd

        port, prefix = int(values["statsd_port"]), values["statsd_prefix"]
        started.append(Statsd(host, port, prefix, warn))
    if to_otlp is not None:
        from amoc.results.exporters.otlp import OtlpMetrics

        started.append(OtlpMetrics(*to_otlp, warn))
    return started


def spans(endpoint: str, share: float | None) -> tuple[otlp_environment.Target, float] | None:
    """Return where to send spans, and of which share of traces; None if none are sent.

    Args:
        endpoint: The setting otel_endpoint; empty if not set.
        share: The setting otel_traces; None if the environment decides.

    Raises:
        ResourceError: The package that they need is missing.
        SettingError: No endpoint is configured for the share, or an environment variable is
            invalid.
    """
    if share == 0:
        return None
    target = otlp_environment.target(os.environ, endpoint, "traces")
    if target is None:
        if share is None:
            return None
        raise SettingError("otel_traces needs otel_endpoint, or OTEL_EXPORTER_OTLP_ENDPOINT")
    ratio = otlp_environment.sampled_share(os.environ) if share is None else share
    if not ratio:
        return None
    if _is_missing():
        if share is None:
            return None  # as for metrics, which warn
        raise ResourceError(f"otel_traces: {_MISSING}")
    return target, ratio


def _is_missing() -> bool:
    return find_spec("opentelemetry") is None or find_spec("opentelemetry.proto") is None


def _otlp(
    endpoint: str, run: RunInfo, warn: Warn
) -> tuple[otlp_environment.Target, dict[str, str], otlp_environment.MetricOptions] | None:
    """Return target, resource and options of OTLP metrics; None if they are not sent."""
    target = otlp_environment.target(os.environ, endpoint, "metrics")
    if target is None:
        return None
    if _is_missing():
        if endpoint:
            raise ResourceError(f"otel_endpoint: {_MISSING}")
        warn(f"no metrics are sent by OTLP, although the environment enables it: {_MISSING}")
        return None
    resource = otlp_environment.resource(os.environ, run)
    return target, resource, otlp_environment.metric_options(os.environ)
