"""Several scenarios in one run, each with its own load: ``browse.py=100 buy.py=10/s``. Pure.

A load is a number of users, stages of one, an arrival rate, or stages of one. Ids are assigned by
the kind of load: first the users of all fixed numbers, mixed in proportion to these; then those of
each scenario with stages; then those started by arrival rates. So an id alone determines a user's
scenario, on any host and after a restart of its worker; or its arrival does, where several arrival
rates change over time, see `amoc.scenario.rate_shares`.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from fractions import Fraction
from functools import lru_cache
from typing import NamedTuple

from amoc.base.errors import value_error_as
from amoc.scenario.arrivals import check_rate
from amoc.scenario.load_profile import Stage, Stages, lasting_stages, parse_profile, sum_of
from amoc.scenario.mix import Mix, whole_weights
from amoc.scenario.scenario_files import Part, parts_of


class Group(NamedTuple):
    """Scenarios whose users share a range of ids."""

    parts: tuple[int, ...]
    """The indices of the scenarios."""
    weights: tuple[int, ...]
    ids: range
    stages: Stages | None
    """The number of these users over time; None means all of them all the time."""


class FileLoads(NamedTuple):
    """The loads of several scenarios.

    Attributes:
        parts: The scenarios.
        groups: Scenarios with numbers of users, in the order of their ids.
        rated: Scenarios with arrival rates, if any; their ids follow all others.
        rates: The arrival rates, per second; each holds its last target.
    """

    parts: tuple[Part, ...]
    groups: tuple[Group, ...]
    rated: Group | None
    rates: tuple[Stages, ...]

    @classmethod
    @lru_cache(maxsize=16)  # called many times a second
    def of(cls, scenario: str) -> FileLoads | None:
        """Return the loads in a plan's `scenario`; None if it has only numbers of users.

        Raises:
            ValueError: A load is invalid; a clause that names its scenario.
        """
        parts = parts_of(scenario)
        return cls.of_parts(parts) if any(not one.is_count for one in parts) else None

    @classmethod
    def of_parts(cls, parts: Sequence[Part]) -> FileLoads:
        """Return the loads of `parts`.

        Raises:
            ValueError: As for `of`.
        """
        fixed = tuple(place for place, one in enumerate(parts) if one.is_count)
        users = [parts[place].users for place in fixed]
        groups, first = [], 1
        if fixed:
            groups.append(Group(fixed, whole_weights(users), range(1, 1 + sum(users)), None))
            first += sum(users)
        rated = []
        for place, one in enumerate(parts):
            if one.is_rate:
                rated.append(place)
            elif not one.is_count:
                stages = _checked(one, lasting_stages)
                ids = range(first, first + stages.rises)
                groups.append(Group((place,), (1,), ids, stages))
                first = ids.stop
        rates = tuple(_checked(parts[place], _rate_of) for place in rated)
        group = None
        if rated:
            fixed_shares = len(rated) > 1 and not any(one.total_ns for one in rates)
            weights = whole_weights([one.start for one in rates]) if fixed_shares else ()
            group = Group(tuple(rated), weights or (1,) * len(rated), range(first, first), None)
        return cls(tuple(parts), tuple(groups), group, rates)

    @property
    def changing_rates(self) -> tuple[Stages, ...]:
        """The arrival rates if several share the arrivals in proportions that change, else none."""
        return self.rates if len(self.rates) > 1 and any(one.total_ns for one in self.rates) else ()

    @property
    def fixed(self) -> range:
        """The ids of the users of scenarios with a fixed number."""
        return next((one.ids for one in self.groups if one.stages is None), range(1, 1))

    @property
    def first_arrival(self) -> int:
        """The id of the first user started by an arrival rate."""
        return max([1, *(one.ids.stop for one in self.groups)])

    @property
    def stages(self) -> Stages | None:
        """The number of users over time, without arrival rates; None if it is constant."""
        found = [one.stages for one in self.groups if one.stages is not None]
        if not found:
            return None
        fixed = Fraction(len(self.fixed))
        return sum_of([*found, Stages((Stage(0, fixed),), fixed)])

    @property
    def most_users(self) -> int:
        """The maximum number of concurrent users, without arrival rates."""
        return sum(
            len(one.ids) if one.stages is None else one.stages.highest for one in self.groups
        )

    def users_of(self, source: str) -> int:
        """Return the maximum number of concurrent users of a scenario, or of all if it is empty.

        Without arrival rates.
        """
        if not source:
            return self.most_users
        place = next(at for at, one in enumerate(self.parts) if one.source == source)
        staged = [
            one.stages.highest
            for one in self.groups
            if one.stages is not None and place in one.parts
        ]
        return staged[0] if staged else self.parts[place].users

    @property
    def rate(self) -> str:
        """The sum of all arrival rates as text; empty if there are none."""
        if not self.rates:
            return ""
        total = sum_of(self.rates)
        if not total.total_ns:
            return f"{total.targets[0]}/s"
        if total.start and total.stages[0].duration_ns:  # text starts at 0
            total = Stages((Stage(0, total.start), *total.stages))
        return str(total).replace(",", "/s,") + "/s"

    @property
    def total_s(self) -> float | None:
        """The duration of the longest stages; None if there are none."""
        every = [*(one.stages for one in self.groups if one.stages is not None), *self.rates]
        return max((one.total_s for one in every), default=0.0) or None


_ALONE = Mix((1,))


class Assignment:
    """The scenario of each user and arrival."""

    def __init__(self, loads: FileLoads) -> None:
        self._groups = [(one, Mix(one.weights)) for one in loads.groups]
        self._rated = (loads.rated, Mix(loads.rated.weights)) if loads.rated is not None else None
        self._rates_change = bool(loads.changing_rates)

    def __call__(self, user_id: int, arrival: int = 0) -> tuple[Sequence[int], Mix, int]:
        """Return the indices of a user's possible scenarios, their mix, and its place in the mix.

        Args:
            user_id: The user.
            arrival: The number of its iteration among the arrivals, from 1, or the `RateShares`
                arrival if rates change; 0 to use the id.
        """
        if not arrival:
            for group, mix in self._groups:
                if user_id < group.ids.stop:
                    return group.parts, mix, user_id - group.ids.start + 1
        assert self._rated is not None
        group, mix = self._rated
        if arrival and self._rates_change:
            place, scenario = divmod(arrival, len(group.parts))
            return group.parts[scenario : scenario + 1], _ALONE, place
        return group.parts, mix, arrival or user_id - group.ids.start + 1


def _rate_of(text: str) -> Stages:
    """Return an arrival rate as stages of rates per second; the last one holds."""
    check_rate(text)
    profile = parse_profile(text, 1.0)
    if not isinstance(profile, Stages):
        exact = Fraction(repr(profile))
        profile = Stages((Stage(0, exact),), exact)
    if not profile.peak:
        raise ValueError(f"must be above 0, got {text!r}")
    return profile


def _checked(part: Part, parse: Callable[[str], Stages]) -> Stages:
    with value_error_as(ValueError, f"{part.source}: "):
        return parse(part.load)
