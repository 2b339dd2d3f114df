"""What was counted in a point, or in a sum of points, by name. Pure."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping

from amoc.metrics.histogram import Histogram
from amoc.results import stretch
from amoc.results.series import Point, Tally
from amoc.results.store.packed import total

Count = Callable[[Point | Tally], float]


def counter(name: str) -> Count:
    """By how much a counter grew."""
    return lambda some: some.counters.get(name, 0)


def crashes(cause: str) -> Count:
    """How many iterations raised for this cause."""
    return lambda some: some.crashes.get(cause, 0)


def all_crashes(some: Point | Tally) -> float:
    """How many iterations raised."""
    return sum(some.crashes.values())


def throttle(name: str, kind: str) -> Count:
    """A count of a throttle, one of `amoc.metrics.throttle_counts.COUNTS`."""
    return lambda some: getattr(some.throttles.get(name), kind, 0)


def samples(points: Iterable[Point], timer: str) -> Histogram:
    """All durations that a timer recorded in some points."""
    return total((point.timers for point in points), timer)


def joined(points: Iterable[Point]) -> Point:
    """The last of some points, at least one, as if it had begun with the first.

    Counts add up, and levels stay.
    """
    return stretch.joined(Tally.of(points))


def busiest(counts: Mapping[str, float]) -> list[str]:
    """The names, those with the highest counts first."""
    return sorted(counts, key=lambda name: (-counts[name], name))
