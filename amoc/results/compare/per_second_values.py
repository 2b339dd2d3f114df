"""The levels of a run second by second, as bare numbers. Pure.

A level is how high something stands: users, a gauge, CPU. Its mean and its noise need its value in
each second of the run, and a number of eight bytes is what little of a second can be kept of all.
"""

from __future__ import annotations

from array import array
from collections.abc import Iterable, Iterator
from math import isfinite, isnan, nan

from amoc.results.series import Point

Key = tuple[str, str, str]
"""Kind, name and statistic, as of an `amoc.results.compare.comparison.Figure`."""


class Levels:
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
        for key, value in _told(point):
            values = self._values.setdefault(key, array("d"))
            values.extend([nan] * (before - len(values)))
            values.append(value)

    def known(self, key: Key) -> tuple[list[float], list[float]]:
        """Where a level is known: how long these points were, and how high it was."""
        pairs = zip(self.spans_s, self._values.get(key, ()), strict=False)
        found = [(span_s, value) for span_s, value in pairs if not isnan(value)]
        return [span_s for span_s, _ in found], [value for _, value in found]


def _told(point: Point) -> Iterator[tuple[Key, float]]:
    """The levels that a point tells."""
    if "running" in point.users:
        yield ("users", "running", "mean"), point.users["running"]
    for name, throttle in point.throttles.items():
        yield ("throttles", name, "waiting"), throttle.waiting
        if (wanted := throttle.wanted_per_s) is not None:
            yield ("throttles", name, "wanted"), wanted
    for name, value in point.gauges.items():
        if isfinite(value):
            yield ("gauges", name, "mean"), value
    yield ("CPU", "workers", "mean"), sum(one.cpu for one in point.workers)
    yield ("CPU", "controller", "mean"), point.controller_cpu
    for node in point.nodes:
        yield ("CPU", f"host {node.name}", "mean"), node.cpu
