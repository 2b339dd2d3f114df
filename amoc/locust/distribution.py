"""Pure. Which class of a locustfile each user is of, by its number alone.

Users of classes with a fixed count come first; the others are mixed by weight, as
`amoc.scenario.mix` does it. So whatever the number of workers, the first N users are the same, and
those that leave first are the last of them.
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
            weights: Of each class; not negative.
            fixed: How many users of each there are, whatever its weight; 0: its weight counts.

        Raises:
            ValueError: Weights make no sense; a clause.
        """
        counts = [min(count, MAX_FIXED) for count in fixed]
        self._first = [index for index, count in enumerate(counts) for _ in range(count)]
        self._free = [
            index for index, count in enumerate(counts) if not count and weights[index] > 0
        ]
        self._mix = Mix([weights[index] for index in self._free]) if self._free else None

    def class_of(self, number: int) -> int:
        """The class of a user, as its place in what was given.

        Args:
            number: Which of the locustfile's users it is, from 1.
        """
        place = number - 1 - len(self._first)
        if place < 0:
            return self._first[number - 1]
        if self._mix is None:
            return self._first[place % len(self._first)]
        return self._free[self._mix.kind_of(place + 1)]
