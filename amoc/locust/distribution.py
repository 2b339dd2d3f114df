"""Pure. Distribution of users over the classes of a locustfile, by user number alone.

Users of classes with a fixed count come first. The others are mixed by weight, as in
`amoc.scenario.mix`. So the first N users are the same for any number of workers, and the users that
are removed first are the last of them.
"""

from __future__ import annotations

from collections.abc import Sequence

from amoc.scenario.mix import Mix

MAX_FIXED = 1_000_000


class Distribution:
    """The class of each user."""

    def __init__(self, weights: Sequence[float], fixed: Sequence[int]) -> None:
        """Distribute users over classes.

        Args:
            weights: Weight of each class; not negative.
            fixed: Fixed number of users of each class; 0 to use its weight.

        Raises:
            ValueError: The weights are invalid; the message is a clause.
        """
        counts = [min(count, MAX_FIXED) for count in fixed]
        self._first = [index for index, count in enumerate(counts) for _ in range(count)]
        self._free = [
            index for index, count in enumerate(counts) if not count and weights[index] > 0
        ]
        self._mix = Mix([weights[index] for index in self._free]) if self._free else None

    def class_of(self, number: int) -> int:
        """Return the index of a user's class.

        Args:
            number: Number of the user among the locustfile's users, from 1.
        """
        place = number - 1 - len(self._first)
        if place < 0:
            return self._first[number - 1]
        if self._mix is None:
            return self._first[place % len(self._first)]
        return self._free[self._mix.kind_of(place + 1)]
