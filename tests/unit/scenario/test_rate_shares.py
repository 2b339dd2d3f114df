"""Arrivals dealt to scenarios whose rates change: each has what its own rate demands."""

from __future__ import annotations

from collections import Counter
from random import Random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from amoc.base.clock import MS_NS, S_NS
from amoc.scenario.arrivals import Arrivals
from amoc.scenario.file_loads import Assignment, FileLoads
from amoc.scenario.load_profile import Stages
from amoc.scenario.rate_shares import RateShares
from amoc.throttle.profiles import ramps_of
from amoc.throttle.slot_schedule import Change, Mode, SlotSchedule

pytestmark = pytest.mark.once

STAGES = st.tuples(
    st.lists(st.tuples(st.integers(1, 4), st.integers(0, 12)), max_size=3), st.integers(1, 12)
).map(lambda found: ",".join(f"{length}s:{rate}/s" for length, rate in [*found[0], (1, found[1])]))
RATES = st.tuples(
    STAGES, st.lists(st.one_of(STAGES, st.integers(1, 12).map("{}/s".format)), min_size=1)
).map(lambda found: [found[0], *found[1][:3]])


def loads_of(rates: list[str]) -> FileLoads:
    found = FileLoads.of(" ".join(f"s{place}.py={rate}" for place, rate in enumerate(rates)))
    assert found is not None
    return found


def dues_of(loads: FileLoads, until_ns: int) -> list[int]:
    """Return when arrivals are due up to `until_ns`, as the run's throttle has them."""
    total = Arrivals.parse(loads.rate).profile
    assert isinstance(total, Stages)
    schedule = SlotSchedule(Change(1, 0, Mode.RUN, ramps_of(total), 0, S_NS))
    found: list[int] = []
    while (run := schedule.peek(until_ns)) is not None:
        found.extend(run.due_ns + round(k * run.spacing_ns) for k in range(run.size))
        schedule.take(run.size)
    return found


@given(RATES, st.integers(0, 9))
def test_each_scenario_has_the_arrivals_of_its_own_rate_at_any_time(rates, seed):
    loads = loads_of(rates)
    shares, given_to = RateShares(loads.changing_rates, Random(seed)), Counter[int]()
    assignment, first = Assignment(loads), loads.first_arrival
    wanted = [Arrivals.parse(rate) for rate in rates]
    for due_ns in dues_of(loads, round((loads.total_s or 0) * S_NS) + S_NS):
        parts, mix, place = assignment(first, shares.deal(due_ns))
        number = parts[mix.kind_of(place)]
        given_to[number] += 1
        assert mix.rank_of(place) == given_to[number], "kinds of a scenario are dealt in order"
        for index, rate in enumerate(wanted):
            assert abs(given_to[index] - rate.count_until(due_ns / S_NS)) < len(rates) + 1


def test_a_scenario_without_a_rate_at_present_gets_no_arrival():
    loads = loads_of(["10s:0/s,0s:10/s,10s:10/s", "10/s", "0s:10/s,10s:10/s,0s:0/s"])
    shares = RateShares(loads.changing_rates, Random(0))
    dues = dues_of(loads, 30 * S_NS)
    dealt = [(due_ns, shares.deal(due_ns) % 3) for due_ns in dues]
    assert {one for due_ns, one in dealt if due_ns < 10 * S_NS - 10 * MS_NS} == {1, 2}
    assert {one for due_ns, one in dealt if due_ns > 10 * S_NS + 10 * MS_NS} == {0, 1}


def test_where_the_plan_has_no_arrivals_at_all_each_scenario_has_an_equal_share():
    loads = loads_of(["1s:10/s,0s:0/s", "0s:30/s,1s:30/s,0s:0/s"])
    shares = RateShares(loads.changing_rates, Random(0))
    dealt = Counter(shares.deal(5 * S_NS + k) % 2 for k in range(100))
    assert dealt == {0: 50, 1: 50}, "a rate that was set by hand"


def test_workers_do_not_all_begin_with_the_same_scenario():
    rates = loads_of(["1s:10/s", "1s:10/s"]).changing_rates
    assert {RateShares(rates, Random(seed)).deal(0) % 2 for seed in range(9)} == {0, 1}
