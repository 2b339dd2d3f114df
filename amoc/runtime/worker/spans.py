"""Spans of a worker's steps, if enabled by the setting otel_traces or by the environment."""

from __future__ import annotations

import os

from amoc.base.operator_log import OperatorLog
from amoc.results import exporters
from amoc.results.exporters import RunInfo, otlp_environment
from amoc.results.exporters.settings import otel_endpoint, otel_traces
from amoc.runtime.worker_spec import WorkerSpec
from amoc.steps import tracing

CLOSE_S = 1.0
"""How long sending the remaining spans may take at the end."""


class Spans:
    """Records spans from its creation on, if they are enabled."""

    def __init__(self, task: WorkerSpec, operator: OperatorLog) -> None:
        """Start.

        Args:
            task: The worker.
            operator: Told when spans cannot be sent.
        """
        self._exporter = None
        if found := exporters.spans(otel_endpoint.get(), otel_traces.get()):
            from amoc.results.exporters.otlp_spans import OtlpSpans

            resource = otlp_environment.resource(os.environ, RunInfo(task.run_id, task.scenario))
            resource["service.instance.id"] = f"{task.run_id}/{task.id.node}/{task.id.worker}"
            target, ratio = found
            self._exporter = OtlpSpans(target, resource, operator.warning)
            tracing.begin(ratio, self._exporter.take)

    def close(self) -> None:
        """Send the remaining spans."""
        if self._exporter is not None:
            self._exporter.close(CLOSE_S)
