"""Exact assignment of kinds to users by weight, from the user's number alone. Pure.

Kinds follow a pattern whose length is the sum of the weights. Among its first *n* users, for any
*n*, each kind has its share of *n* with an error below one (Tijdeman, "The chairman assignment
problem", 1980). So the mix does not depend on how many users there are, where they run, or how
often their workers are restarted.

Users are placed on workers round robin, so with a single pattern one worker could get all users of
a kind. Therefore each block of users has a different pattern, made by random swaps of neighbours
that keep the error below one.
"""

from __future__ import annotations

from array import array
from collections.abc import Sequence
from fractions import Fraction
from functools import reduce
from math import gcd, inf, lcm
from random import Random

MAX_KINDS = 100
MAX_PATTERNS, ENOUGH = 1_000, 10_000
"""Maximum number of patterns, and of users in all of them; a long pattern is used alone."""
SWEEPS = 4
MAX_LENGTH = 100_000
"""Maximum length of a pattern, the sum of the weights as coprime integers."""


def whole_weights(weights: Sequence[float | Fraction]) -> tuple[int, ...]:
    """Return the smallest whole numbers in the same proportion as `weights`.

    Raises:
        ValueError: A weight is not above 0, or the proportion is too fine; a clause.
    """
    if not 1 <= len(weights) <= MAX_KINDS:
        raise ValueError(f"must have 1 to {MAX_KINDS} kinds, got {len(weights)}")
    for one in weights:
        is_number = isinstance(one, int | float | Fraction) and not isinstance(one, bool)
        if not is_number or not 0 < one < inf:
            raise ValueError(f"weights must be numbers above 0, got {one!r}")
    exact = [one if isinstance(one, Fraction) else Fraction(repr(one)) for one in weights]
    scale = lcm(*(one.denominator for one in exact))
    whole = [int(one * scale) for one in exact]
    divisor = reduce(gcd, whole)
    whole = [one // divisor for one in whole]
    if sum(whole) > MAX_LENGTH:
        raise ValueError(
            f"weights must be in a proportion of whole numbers with a sum up to {MAX_LENGTH:,},"
            f" got a sum of {sum(whole):,}"
        )
    return tuple(whole)


def pattern_of(weights: Sequence[int]) -> tuple[int, ...]:
    """Return the kinds of the first users, in order, for integer `weights`."""
    total, kinds = sum(weights), len(weights)
    if kinds == 1:
        return (0,) * total
    # Errors are at most 1 - 1 / (2 * kinds - 2); everything is scaled by `scale` and `total`.
    scale = 2 * kinds - 2
    given = [0] * kinds
    pattern = []
    for number in range(1, total + 1):
        # The deficit of each kind; among those due, the one with the earliest deadline is next.
        lacks = [scale * (number * weight - total * given[k]) for k, weight in enumerate(weights)]
        ready = [k for k in range(kinds) if lacks[k] >= total]
        chosen = min(ready, key=lambda k: Fraction((scale - 1) * total - lacks[k], weights[k]))
        given[chosen] += 1
        pattern.append(chosen)
    return tuple(pattern)


def shuffled(pattern: Sequence[int], weights: Sequence[int], draw: Random) -> tuple[int, ...]:
    """Return `pattern` with neighbours swapped at random, within the same bound on the error."""
    total, made = len(pattern), list(pattern)
    for _ in range(SWEEPS):
        given = [0] * len(weights)
        for place in range(total - 1):
            one, other = made[place], made[place + 1]
            given[one] += 1
            if one == other or draw.random() < 0.5:
                continue
            # A swap changes only the counts up to this place, so only these need a check.
            count = place + 1
            less = count * weights[one] - total * (given[one] - 1)
            more = total * (given[other] + 1) - count * weights[other]
            if less < total and more < total:
                made[place], made[place + 1] = other, one
                given[one] -= 1
                given[other] += 1
    return tuple(made)


class Mix:
    """The kind of each user."""

    def __init__(self, weights: Sequence[float]) -> None:
        """Mix kinds by their weights.

        Raises:
            ValueError: See `whole_weights`.
        """
        whole = whole_weights(weights)
        draw = Random(f"mix {whole}")
        pattern = pattern_of(whole)
        self._ranks, self._each = array("L"), [0]  # filled on first use
        self._kinds = array("B", pattern)  # all patterns, concatenated
        for _ in range(1, min(MAX_PATTERNS, ENOUGH // len(pattern))):
            pattern = shuffled(pattern, whole, draw)
            self._kinds.extend(pattern)

    def kind_of(self, user_id: int) -> int:
        """Return the kind of a user, as an index into the weights."""
        return self._kinds[(user_id - 1) % len(self._kinds)]

    def rank_of(self, user_id: int) -> int:
        """Return the rank of a user among those of its kind, from 1."""
        if not self._ranks:
            given = [0] * MAX_KINDS
            for kind in self._kinds:
                given[kind] += 1
                self._ranks.append(given[kind])
            self._each = given
        turns, place = divmod(user_id - 1, len(self._kinds))
        return turns * self._each[self._kinds[place]] + self._ranks[place]
