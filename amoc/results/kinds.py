"""Results by kind of user, or by scenario in a run that has several. Pure."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from typing import NamedTuple

from amoc.metrics.reserved import KIND
from amoc.results.summary_types import Measured

HEADS = ("users started", "iterations", "per second", "crashes")
_ITERATIONS = ".iterations"


class KindRow(NamedTuple):
    """The results of one kind."""

    name: str
    users: int
    """Users that have started; 0 if an arrival rate starts iterations."""
    iterations: int
    """Iterations that have begun."""
    per_s: float | None
    crashes: int


def rows(whole: Measured, part: Measured) -> list[KindRow]:
    """Return the kinds found in the counters.

    Args:
        whole: The whole run, the source of users and crashes. A crash's cause begins with the kind.
        part: The source of everything else.
    """
    counters, per_s = part.get("counters", {}), part.get("counters_per_s", {})
    iterations = {
        name.removeprefix(KIND).removesuffix(_ITERATIONS): count
        for name, count in counters.items()
        if name.startswith(KIND) and name.endswith(_ITERATIONS)
    }
    crashed: Counter[str] = Counter()
    for one in whole.get("crashes", ()) if iterations else ():
        for name in one["cause"].split(": "):  # a scenario with kinds gives both names
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
    """Return the counters that do not belong to a kind."""
    return {name: count for name, count in counters.items() if not name.startswith(KIND)}
