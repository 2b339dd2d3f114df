"""What kinds of users have done, or the scenarios of a run that has several. Pure."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from typing import NamedTuple

from amoc.metrics.reserved import KIND
from amoc.results.summary_types import Measured

HEADS = ("users started", "iterations", "per second", "crashes")
_ITERATIONS = ".iterations"


class KindRow(NamedTuple):
    """One kind."""

    name: str
    users: int
    """How many have started; 0 where a rate starts iterations."""
    iterations: int
    """How many have begun."""
    per_s: float | None
    crashes: int


def rows(whole: Measured, part: Measured) -> list[KindRow]:
    """The kinds that counters tell of.

    Args:
        whole: All of a run, of which users and crashes are told; a crash's cause begins with the
            kind.
        part: What else is told of.
    """
    counters, per_s = part.get("counters", {}), part.get("counters_per_s", {})
    iterations = {
        name.removeprefix(KIND).removesuffix(_ITERATIONS): count
        for name, count in counters.items()
        if name.startswith(KIND) and name.endswith(_ITERATIONS)
    }
    crashed: Counter[str] = Counter()
    for one in whole.get("crashes", ()) if iterations else ():
        for name in one["cause"].split(": "):  # of a scenario with kinds both are said
            if name not in iterations:
                break
            crashed[name] += one["count"]
    return [
        KindRow(
            name,
            whole.get("counters", {}).get(f"{KIND}{name}.users", 0),
            count,
            per_s.get(f"{KIND}{name}{_ITERATIONS}"),
            crashed[name],
        )
        for name, count in iterations.items()
    ]


def without(counters: Mapping[str, int]) -> dict[str, int]:
    """`counters` that tell of no kinds."""
    return {name: count for name, count in counters.items() if not name.startswith(KIND)}
