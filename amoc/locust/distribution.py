"""Pure. Which class of a locustfile each user is of, by the user's number alone.

Users of classes with a fixed count come first. The others go round, as evenly as weights allow:
of A with the weight 3 and B with 1 they are A, A, B, A, and then again. So whatever the number of
workers, the first N users are the same mix, and those that leave first are the last of it.
"""

from __future__ import annotations

from collections.abc import Sequence
from fractions import Fraction
from math import gcd, lcm

MAX_ROUND = 10_000
"""Users until the mix repeats; weights that would need more are rounded."""
MAX_FIXED = 1_000_000


class Mix:
    """Which class each user is of."""

    def __init__(self, weights: Sequence[float], fixed: Sequence[int]) -> None:
        """Mix classes.

        Args:
            weights: Of each class; they are not negative.
            fixed: How many users of each there are, whatever its weight; 0: its weight counts.
        """
        counts = [min(count, MAX_FIXED) for count in fixed]
        self._first = [index for index, count in enumerate(counts) for _ in range(count)]
        free = [0 if count else weight for weight, count in zip(weights, counts, strict=True)]
        self._round = _in_turns(_whole(free)) or self._first

    def class_of(self, user_id: int) -> int:
        """The class of a user, as its place in what the mix was made of."""
        index = user_id - 1
        if index < len(self._first):
            return self._first[index]
        return self._round[(index - len(self._first)) % len(self._round)]


def _whole(weights: Sequence[float]) -> list[int]:
    """The weights as small whole numbers in the same proportion, or nearly so."""
    exact = [Fraction(weight).limit_denominator(1000) for weight in weights]
    scale = lcm(*(one.denominator for one in exact))
    whole = [int(one * scale) for one in exact]
    divisor = gcd(*whole) or 1
    whole = [one // divisor for one in whole]
    total = sum(whole)
    if total > MAX_ROUND:
        whole = [max(1, round(one * MAX_ROUND / total)) if one else 0 for one in whole]
    return whole


def _in_turns(weights: Sequence[int]) -> list[int]:
    """A round in which each index comes as often as its weight says, well spread."""
    total = sum(weights)
    credit = [0] * len(weights)
    turns = []
    for _ in range(total):
        credit = [have + weight for have, weight in zip(credit, weights, strict=True)]
        best = max(range(len(weights)), key=lambda index: (credit[index], -index))
        credit[best] -= total
        turns.append(best)
    return turns
