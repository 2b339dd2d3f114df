"""The requests of a run: how those of each name ended, and how long good ones took. Pure.

They are found by their counters: whatever has all of `ENDS` behind its name is a request's, see
`amoc.xmpp.request_counts`.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import NamedTuple

from amoc.metrics.request_names import ENDS, TOTAL
from amoc.results.summary_types import Timers


class Request(NamedTuple):
    """The requests of one name."""

    name: str
    ends: tuple[int, ...]
    """How many ended how, in the order of `ENDS`."""
    conditions: tuple[tuple[str, int], ...]
    """The errors among them by condition, the most frequent first."""
    times: Mapping[str, float]
    """The statistics of the timer of results; empty without a result."""


def requests(counters: Mapping[str, int], timers: Timers) -> list[Request]:
    """The requests that were made: all of them together, then by name, the most frequent first."""
    found = [
        Request(
            name,
            tuple(counters[f"{name}.{end}"] for end in ENDS),
            _conditions(counters, f"{name}.error."),
            timers.get(name, {}),
        )
        for name in _names(counters)
    ]
    made = [one for one in found if sum(one.ends)]
    return sorted(made, key=lambda one: (one.name != TOTAL, -sum(one.ends), one.name))


def without_requests(counters: Mapping[str, int]) -> dict[str, int]:
    """`counters`, but for those of requests."""
    names = _names(counters)
    theirs = {f"{name}.{end}" for name in names for end in ENDS}
    errors = tuple(f"{name}.error." for name in names)
    return {
        name: count
        for name, count in counters.items()
        if name not in theirs and not (errors and name.startswith(errors))
    }


def _names(counters: Mapping[str, int]) -> list[str]:
    last = f".{ENDS[0]}"
    names = (name.removesuffix(last) for name in counters if name.endswith(last))
    return [name for name in names if all(f"{name}.{end}" in counters for end in ENDS)]


def _conditions(counters: Mapping[str, int], begin: str) -> tuple[tuple[str, int], ...]:
    found = {
        name.removeprefix(begin): count
        for name, count in counters.items()
        if name.startswith(begin) and count
    }
    return tuple(sorted(found.items(), key=lambda item: (-item[1], item[0])))
