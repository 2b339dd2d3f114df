"""Where a run's figures go while it runs: Graphite, statsd, Prometheus."""

from amoc.exporters.base import Exporter, RunInfo
from amoc.exporters.starting import start

__all__ = ["Exporter", "RunInfo", "start"]
