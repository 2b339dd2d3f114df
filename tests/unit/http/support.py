"""Helpers shared by HTTP tests."""

from __future__ import annotations

from amoc import metrics
from amoc.metrics.area import Kind


def counters() -> dict[str, int]:
    """Return all counters of the test's own metrics."""
    return {one.name: one.value for one in metrics.read() if one.kind is Kind.COUNTER}
