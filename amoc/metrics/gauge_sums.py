"""Merges the gauges of several workers by their rules, on each node and then over nodes. Pure."""

from __future__ import annotations

import operator
from collections.abc import Callable, Iterable, Mapping

from amoc.metrics.area import Merge

GaugeSum = tuple[int, float, int]
"""The `Merge` rule, the merged value (the sum for a mean), and the number of values."""
_BOTH: Mapping[int, Callable[[float, float], float]] = {
    Merge.SUM: operator.add,
    Merge.MAX: max,
    Merge.MIN: min,
    Merge.MEAN: operator.add,
}


def add(sums: dict[str, GaugeSum], more: Iterable[tuple[str, GaugeSum]]) -> None:
    """Add gauges to sums, name by name; if rules differ, the first one counts."""
    for name, one in more:
        if (known := sums.get(name)) is None:
            sums[name] = one
        else:
            rule, value, count = known
            sums[name] = rule, _BOTH[rule](value, one[1]), count + one[2]


def value_of(one: GaugeSum) -> float:
    """Return the value of the gauge over all workers."""
    rule, value, count = one
    return value / count if rule == Merge.MEAN else value
