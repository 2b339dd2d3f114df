"""The levels of a run (users, gauges, CPU) second by second, as bare numbers. Pure.

The mean of a level and its noise need its value in each second of the run. Eight bytes a second are
little enough to be kept for all of them.
"""

from __future__ import annotations

from array import array
from collections.abc import Iterable, Iterator
from math import isfinite, isnan, nan

from amoc.results.series import Point

Key = tuple[str, str, str]
"""Kind, name and statistic, as of an `amoc.results.compare.comparison.Metric`."""


class PerSecondValues:
    """The levels of some points.

    Attributes:
        spans_s: How long each point was.
        hosts: The names of the nodes.
    """

    def __init__(self, points: Iterable[Point]) -> None:
        """Those of `points`, in order."""
        self.spans_s: array[float] = array("d")
        self.hosts: set[str] = set()
        self._values: dict[Key, array[float]] = {}
        for point in points:
            self._add(point)

    def _add(self, point: Point) -> None:
        before = len(self.spans_s)
        self.spans_s.append(point.span_s)
        self.hosts.update(node.name for node in point.nodes)
        for key, value in _levels(point):
            values = self._values.setdefault(key, array("d"))
            values.extend([nan] * (before - len(values)))
            values.append(value)

    def known(self, key: Key) -> tuple[list[float], list[float]]:
        """The lengths of the points in which a level is known, and its values in them."""
        pairs = zip(self.spans_s, self._values.get(key, ()), strict=False)
        found = [(span_s, value) for span_s, value in pairs if not isnan(value)]
        return [span_s for span_s, _ in found], [value for _, value in found]


def _levels(point: Point) -> Iterator[tuple[Key, float]]:
    """The levels in a point."""
    if "running" in point.users:
        yield ("users", "running", "mean"), point.users["running"]
    for name, throttle in point.throttles.items():
        yield ("throttles", name, "waiting"), throttle.waiting
        if throttle.wanted is not None and point.active_s:
            yield ("throttles", name, "target rate"), throttle.wanted / point.active_s
    for name, value in point.gauges.items():
        if isfinite(value):
            yield ("gauges", name, "mean"), value
    yield ("CPU", "workers", "mean"), sum(one.cpu for one in point.workers)
    yield ("CPU", "controller", "mean"), point.controller_cpu
    for node in point.nodes:
        yield ("CPU", f"host {node.name}", "mean"), node.cpu
