"""Which users were dealt to a node, and which have left for good: one byte per user. Pure.

A lost node takes its board with it. These states tell which users restart elsewhere: those that
were dealt and had not left by the node's last sample.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence

from amoc.base.lazy_bytes import lazy_bytes
from amoc.users.placement import Placement

_DEALT, _GONE, _PUT = 1, 2, 3
_NEVER = re.compile(b"\\0{50,}")
"""Fewest consecutive undealt ids that are worth a move, as every node has to remember it."""


class Whereabouts:
    """Knows which users were dealt and have not left."""

    def __init__(self, placement: Placement, highest_id: int) -> None:
        """Create it without users; ids are at most `highest_id`."""
        self._placement = placement
        self._states = lazy_bytes(highest_id + 1)
        self._highest = 0  # highest id dealt

    def dealt(self, ids: Sequence[int]) -> None:
        """Record that these users, at least one, are dealt to their worker's node."""
        for user_id in ids:
            self._states[user_id] = _DEALT
        self._highest = max(self._highest, *ids)

    def gone(self, ranges: Iterable[tuple[int, int]]) -> None:
        """Record that users have left for good; a range is its first id and its length."""
        for first, count in ranges:
            self._states[first : first + count] = bytes([_GONE]) * count

    def put(self, ids: range) -> None:
        """Record that these users will start on nodes chosen for them."""
        self._states[ids.start : ids.stop] = bytes([_PUT]) * len(ids)

    def never_dealt(self, ids: range) -> list[tuple[int, int]]:
        """Return first and last id of the ranges in `ids` that were never dealt to a node."""
        found = _NEVER.finditer(self._states, ids.start, ids.stop)
        return [(one.start(), one.end() - 1) for one in found]

    def withdrawn(self, ids: Iterable[int]) -> None:
        """Record that these users, which never ran, are no longer on any node."""
        for user_id in ids:
            self._states[user_id] = 0

    def on(self, workers: Sequence[int]) -> list[int]:
        """Return the users of these workers that have not left, in the order of their ids."""
        found = []
        for ids in self._placement.ids_of(1, self._highest, *workers):
            states = self._states[ids.start : ids.stop : ids.step]
            at = states.find(_DEALT)
            while at >= 0:
                found.append(ids[at])
                at = states.find(_DEALT, at + 1)
        return sorted(found)
