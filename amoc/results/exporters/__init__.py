"""Where a run's figures go while it runs: Graphite, statsd, Prometheus."""

from amoc.results.exporters.base import Exporter, RunInfo
from amoc.results.exporters.starting import start

__all__ = ["Exporter", "RunInfo", "start"]
