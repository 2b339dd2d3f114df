"""Samples of all nodes merged: totals that no loss, repetition or delay can falsify. Pure.

A sample holds totals of what has grown since one that is known to have come (`Sample`). A total
only grows, so of two the larger is the newer, and taking the larger of what is known and what is
told is all that there is to merging: it may be done in any order and as often as one likes. What
goes up and down (users, gauges, workers) is taken from the sample with the highest sequence.

What totals have grown by is summed up as well, until somebody takes it: a second of the run.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from amoc.ipc.messages import Sample
from amoc.metrics.histogram import Histogram, end_ns
from amoc.metrics.throttle_counts import ThrottleCounts


@dataclass
class Counts:
    """What was counted and recorded: totals, or by how much they have grown.

    Attributes:
        counters: By name.
        crashes: Iterations that raised, by cause.
        timers: Recorded durations, by name.
        throttles: What happened at each.
    """

    counters: dict[str, int] = field(default_factory=dict)
    crashes: dict[str, int] = field(default_factory=dict)
    timers: dict[str, Histogram] = field(default_factory=dict)
    throttles: dict[str, ThrottleCounts] = field(default_factory=dict)


class SampleMerger:
    """What all nodes have told.

    Attributes:
        latest: The sample with the highest sequence of each node.
        total: What all of them have counted.
    """

    def __init__(self) -> None:
        self.latest: dict[str, Sample] = {}
        self.total = Counts()
        self._nodes: dict[str, Counts] = {}
        self._growth = Counts()

    def take(self, name: str, sample: Sample) -> bool:
        """Take a sample of node `name`; whether it is the newest of that node."""
        node, total = self._nodes.setdefault(name, Counts()), self.total
        growth = self._growth
        _raise(node.counters, sample.counters, total.counters, growth.counters)
        _raise(node.crashes, sample.crashes, total.crashes, growth.crashes)
        for throttle, told in sample.throttles.items():
            known = node.throttles.get(throttle, ThrottleCounts())
            more = ThrottleCounts(*told).beyond(known)
            node.throttles[throttle] = known.plus(more)
            for sums in (total.throttles, growth.throttles):
                sums[throttle] = sums.get(throttle, ThrottleCounts()).plus(more)
        for timer, (max_ns, flat) in sample.timers.items():
            cells = dict(zip(flat[::2], flat[1::2], strict=True))
            grown = _raise_timer(node.timers.setdefault(timer, Histogram()), cells, max_ns)
            total.timers.setdefault(timer, Histogram()).add(grown.cells, max_ns)
            if grown.cells:
                growth.timers.setdefault(timer, Histogram()).add(grown.cells, grown.max_ns)
        before = self.latest.get(name)
        newest = before is None or sample.sequence > before.sequence
        if newest:
            self.latest[name] = sample
        return newest

    def take_growth(self) -> Counts:
        """What has grown since this was last asked."""
        growth, self._growth = self._growth, Counts()
        return growth


def _raise(
    known: dict[str, int], told: Mapping[str, int], total: dict[str, int], growth: dict[str, int]
) -> None:
    """Raise what is `known` to what is `told`, and by as much the totals."""
    for name, count in told.items():
        if name not in total:
            total[name] = growth[name] = 0  # what has counted nothing yet is there, too
        more = count - known.get(name, 0)
        if more > 0:
            known[name] = count
            total[name] += more
            growth[name] = growth.get(name, 0) + more


def _raise_timer(known: Histogram, told: Mapping[int, int], max_ns: int) -> Histogram:
    """Raise a timer's cells to what is `told`; the durations that were not known before."""
    grown = {}
    for cell, count in told.items():
        more = count - known.cells.get(cell, 0)
        if more > 0:
            known.cells[cell] = count
            grown[cell] = more
    longest_ns = end_ns(max(grown, default=0))
    if max_ns > known.max_ns:
        longest_ns = known.max_ns = max_ns  # a new record is exact, others are known by their cell
    return Histogram(grown, min(longest_ns, known.max_ns) if grown else 0)
