"""What kinds of users have done, or the scenarios of a run that has several. Pure."""

from __future__ import annotations

from collections.abc import Mapping
from typing import NamedTuple

from amoc.metrics.reserved import KIND

HEADS = ("kinds", "users started", "iterations", "per second")
_ITERATIONS = ".iterations"


class KindRow(NamedTuple):
    """One kind."""

    name: str
    users: int
    """How many have started; 0 where a rate starts iterations."""
    iterations: int
    per_s: float | None


def rows(counters: Mapping[str, int], per_s: Mapping[str, float | None]) -> list[KindRow]:
    """The kinds that `counters` tell of."""
    found = []
    for name, count in counters.items():
        if name.startswith(KIND) and name.endswith(_ITERATIONS):
            kind = name.removesuffix(_ITERATIONS)
            users = counters.get(f"{kind}.users", 0)
            found.append(KindRow(kind.removeprefix(KIND), users, count, per_s.get(name)))
    return found


def without(counters: Mapping[str, int]) -> dict[str, int]:
    """`counters` that tell of no kinds."""
    return {name: count for name, count in counters.items() if not name.startswith(KIND)}
