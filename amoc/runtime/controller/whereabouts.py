"""Which users were given to a node, and which have left there for good: a byte for each. Pure.

A node that is lost takes its board along. Who is to start again elsewhere is known from this:
whoever was dealt and had not left by its last sample.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence

from amoc.base.lazy_bytes import lazy_bytes
from amoc.users.placement import Placement

_DEALT, _GONE, _PUT = 1, 2, 3
_NEVER = re.compile(b"\\0{50,}")
"""Ids in a row that were never dealt: fewer are not worth a move, which all have to remember."""


class Whereabouts:
    """Knows who was dealt and has not left."""

    def __init__(self, placement: Placement, highest_id: int) -> None:
        """Begin with nobody; ids are at most `highest_id`."""
        self._placement = placement
        self._states = lazy_bytes(highest_id + 1)
        self._highest = 0  # that was dealt

    def dealt(self, ids: Sequence[int]) -> None:
        """These users, some at least, are given to their worker's node."""
        for user_id in ids:
            self._states[user_id] = _DEALT
        self._highest = max(self._highest, *ids)

    def gone(self, ranges: Iterable[tuple[int, int]]) -> None:
        """These users have left for good; ranges are first ids and how many follow each other."""
        for first, count in ranges:
            self._states[first : first + count] = bytes([_GONE]) * count

    def put(self, ids: range) -> None:
        """These users are to start on nodes that were chosen for them."""
        self._states[ids.start : ids.stop] = bytes([_PUT]) * len(ids)

    def never_dealt(self, ids: range) -> list[tuple[int, int]]:
        """Of consecutive `ids`, the first and the last of those in a row that no node was given."""
        found = _NEVER.finditer(self._states, ids.start, ids.stop)
        return [(one.start(), one.end() - 1) for one in found]

    def withdrawn(self, ids: Iterable[int]) -> None:
        """These users are with no node any more, and have never run."""
        for user_id in ids:
            self._states[user_id] = 0

    def on(self, workers: Sequence[int]) -> list[int]:
        """The users of these workers that have not left, in the order of their ids."""
        found = []
        for ids in self._placement.ids_of(1, self._highest, *workers):
            states = self._states[ids.start : ids.stop : ids.step]
            at = states.find(_DEALT)
            while at >= 0:
                found.append(ids[at])
                at = states.find(_DEALT, at + 1)
        return sorted(found)
