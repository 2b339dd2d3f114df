"""Which of several scenarios each arrival is for, if their arrival rates change over time. Pure.

The arrivals of a run come at the sum of all rates. Each worker deals those that it gets: a scenario
is owed its share of the present total with each arrival, and the one that is owed most gets it. So
each has as many as its own rate demands, in every worker, but for one or two.
"""

from __future__ import annotations

from collections.abc import Sequence
from random import Random

from amoc.base.clock import MS_NS
from amoc.scenario.load_profile import Stages

_STEP_NS = 10 * MS_NS
"""How long the shares are taken as constant."""


class RateShares:
    """Deals one worker's arrivals to scenarios."""

    def __init__(self, rates: Sequence[Stages], draw: Random) -> None:
        """Deal to scenarios with these rates.

        Args:
            rates: At least two; each holds its last target.
            draw: Decides which scenario each worker begins with, or the first arrivals of all
                workers would be for the same one.
        """
        self._rates = rates
        self._owed = [draw.random() for _ in rates]
        self._given = [0] * len(rates)
        self._step = -1
        self._shares: list[float] = []

    def deal(self, run_ns: int) -> int:
        """Return the arrival that is due at `run_ns` of the load, pauses not counted.

        Returns:
            ``place * len(rates) + index``: the index of the scenario, and how many arrivals it has
            had in this worker, with this one.
        """
        if (step := run_ns // _STEP_NS) != self._step:
            self._step, self._shares = step, self._shares_at(step * _STEP_NS + _STEP_NS // 2)
        owed, chosen = self._owed, -1
        for index, share in enumerate(self._shares):
            owed[index] += share
            if share and (chosen < 0 or owed[index] > owed[chosen]):
                chosen = index
        owed[chosen] -= 1
        self._given[chosen] += 1
        return self._given[chosen] * len(owed) + chosen

    def _shares_at(self, run_ns: int) -> list[float]:
        """Return the shares of the total; equal ones where the plan has no arrivals at all."""
        rates = [float(one.exactly_at(run_ns)) for one in self._rates]
        total = sum(rates)
        return [rate / total for rate in rates] if total else [1 / len(rates)] * len(rates)
