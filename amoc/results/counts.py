"""Counts of a point, or of a sum of points, by name. Pure."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from typing import TypeVar

from amoc.metrics.histogram import Histogram
from amoc.results import stretch
from amoc.results.series import Point, Tally
from amoc.results.store.packed import total

Count = Callable[[Point | Tally], float]
N = TypeVar("N", int, float)


def counter(name: str) -> Count:
    """Return a function that gives the growth of a counter."""
    return lambda some: some.counters.get(name, 0)


def crashes(cause: str) -> Count:
    """Return a function that gives the number of iterations that raised for this cause."""
    return lambda some: some.crashes.get(cause, 0)


def all_crashes(some: Point | Tally) -> float:
    """Return the number of iterations that raised."""
    return sum(some.crashes.values())


def throttle(name: str, kind: str) -> Count:
    """Return a function that gives a throttle's count, one of `throttle_counts.COUNTS`."""
    return lambda some: getattr(some.throttles.get(name), kind, 0)


def recorded(timer: str) -> Count:
    """Return a function that gives the number of durations that a timer recorded."""
    return lambda some: some.timers.get(timer, Histogram()).count


def samples(points: Iterable[Point], timer: str) -> Histogram:
    """Return all durations that a timer recorded in some points."""
    return total((point.timers for point in points), timer)


def joined(points: Iterable[Point]) -> Point:
    """Return the last of some points, of which there must be one, extended back to the first.

    Counts are summed; levels are those of the last point.
    """
    return stretch.joined(Tally.of(points))


def busiest(counts: Mapping[str, float]) -> list[str]:
    """Return the names, highest counts first."""
    return [name for name, _ in ranked(counts)]


def ranked(counts: Mapping[str, N]) -> list[tuple[str, N]]:
    """Return the names with their counts, highest first."""
    return sorted(counts.items(), key=lambda item: (-item[1], item[0]))


def by_cause(counters: Mapping[str, int], prefix: str) -> list[tuple[str, int]]:
    """Return what follows `prefix` in counters' names with their counts, most frequent first."""
    return ranked(
        {
            name.removeprefix(prefix): count
            for name, count in counters.items()
            if count and name.startswith(prefix)
        }
    )
