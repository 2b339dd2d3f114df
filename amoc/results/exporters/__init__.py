"""Where a run's metrics go while it runs: Graphite, statsd, Prometheus."""

from __future__ import annotations

from collections.abc import Mapping

from amoc.results.exporters.base import Exporter, RunInfo, Warn

__all__ = ["Exporter", "RunInfo", "start"]


def start(values: Mapping[str, str], run: RunInfo, warn: Warn) -> list[Exporter]:
    """Start the exporters that `values` ask for; they run on the hub of the caller.

    Args:
        values: amoc's own settings as text, by name.
        run: Which run it is.
        warn: Called with the first problem of each backend; must neither block nor raise.

    Raises:
        ResourceError: prometheus_port cannot be listened on; nothing is left running.
    """
    # What nobody asks for is not imported either.
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
    return started
