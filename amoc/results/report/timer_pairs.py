"""Timers with their twins, by name, see `amoc.results.report.latency`. Pure."""

from __future__ import annotations

from dataclasses import dataclass

from amoc.metrics import reserved
from amoc.metrics.coordinated_omission import RESPONSE
from amoc.results.counts import busiest
from amoc.results.summary_types import Timers


@dataclass(frozen=True)
class Pair:
    """The names of a timer and its twin; `response` is None without a twin."""

    name: str
    response: str | None

    @property
    def names(self) -> tuple[str, ...]:
        """The names of both, or of the timer alone."""
        return (self.name,) if self.response is None else (self.name, self.response)


def pair(name: str, has_twin: bool) -> Pair:
    """Return a timer, and its twin if it has one."""
    return Pair(name, name + RESPONSE if has_twin else None)


def pairs(timers: Timers) -> tuple[list[Pair], list[Pair]]:
    """Return the target's timers that recorded something, busiest first, and amoc's own."""
    used = {name: one["count"] for name, one in timers.items() if one.get("count")}
    found = [
        pair(name, name + RESPONSE in used)
        for name in busiest(used)
        if not (name.endswith(RESPONSE) and name.removesuffix(RESPONSE) in used)
    ]
    target = [one for one in found if one.name not in reserved.TIMERS]
    return target, [one for one in found if one.name in reserved.TIMERS]
