"""Scenarios with separate loads: which users belong to which, and their totals."""

from __future__ import annotations

import re
from collections import Counter
from fractions import Fraction

import pytest
from hypothesis import given
from hypothesis import strategies as st

from amoc.base.clock import S_NS
from amoc.runtime.controller.stage_follower import StageFollower
from amoc.scenario.file_loads import Assignment, FileLoads

STAGES = st.lists(st.tuples(st.integers(1, 3), st.integers(0, 9)), min_size=1, max_size=4).map(
    lambda stages: ",".join(f"{seconds}s:{users}" for seconds, users in stages)
)
LOADS = st.lists(
    st.one_of(st.integers(1, 30).map(str), STAGES, st.integers(1, 9).map("{}/s".format)),
    min_size=2,
    max_size=5,
)


def loads_of(loads: list[str]) -> FileLoads | None:
    return FileLoads.of(" ".join(f"s{place}.py={load}" for place, load in enumerate(loads)))


def scenario_of(assignment: Assignment, user_id: int, arrival: int = 0) -> int:
    parts, mix, place = assignment(user_id, arrival)
    return parts[mix.kind_of(place)]


@given(LOADS)
def test_each_scenario_has_its_users_whatever_the_others_load(loads):
    found = loads_of(loads)
    if found is None:
        assert all(load.isdigit() for load in loads)
        return
    assignment = Assignment(found)
    ids = Counter(scenario_of(assignment, one) for one in range(1, found.first_arrival))
    for place, load in enumerate(loads):
        if load.isdigit():
            assert ids[place] == int(load)
        elif "/" in load:
            assert ids[place] == 0
            assert place in (scenario_of(assignment, found.first_arrival, n) for n in range(1, 100))
        else:
            (group,) = (one for one in found.groups if one.parts == (place,) and one.stages)
            assert ids[place] == len(group.ids)


@given(LOADS)
def test_the_ids_of_a_scenario_are_enough_for_its_stages(loads):
    found = loads_of(loads)
    for group in found.groups if found is not None else ():
        if group.stages is not None:
            follower = StageFollower(group.stages, 0)
            ticks = range(0, group.stages.total_ns + S_NS, S_NS // 50)
            assert sum(len(follower.step(tick).dues_ns) for tick in ticks) <= len(group.ids)


def test_the_total_of_several_loads():
    found = loads_of(["100", "30s:10,30s:10", "2/s", "1m:40", "3/s"])
    assert found is not None
    assert (found.fixed, found.first_arrival) == (range(1, 101), 151)
    assert str(found.stages) == "30s:130, 30s:150"
    assert found.stages.start == 100
    assert found.rate == "5.0/s"
    assert (found.total_s, found.most_users) == (60.0, 150)
    assignment = Assignment(found)
    arrivals = Counter(scenario_of(assignment, 151, number) for number in range(1, 101))
    assert arrivals == {2: 40, 4: 60}
    assert assignment(151)[2] == 1, "each arrival may be a new user, whose id then says whose it is"


def test_a_rate_may_have_stages_and_holds_the_last():
    found = loads_of(["5", "10s:2/s,10s:90/min"])
    assert found is not None
    assert found.rate == "10s:2/s, 10s:1.5/s"
    assert found.stages is None
    assert found.rates[0].exactly_at(99 * S_NS) == Fraction(3, 2)


def test_rates_with_and_without_stages_add_up():
    found = loads_of(["2/s", "10s:4/s,10s:4/s", "0s:1/s,5s:1/s"])
    assert found is not None
    assert found.rate == "0s:3/s, 5s:5/s, 5s:7/s, 10s:7/s"
    assert found.changing_rates == found.rates
    alone = loads_of(["2/s", "10s:4/s"])
    assert alone is not None
    assert alone.rate == "0s:2/s, 10s:6/s", "it begins at the constant rate"
    for constant in (["2/s", "3/s", "5"], ["5", "10s:4/s"]):
        alone = loads_of(constant)
        assert alone is not None
        assert not alone.changing_rates, "the shares stay"


@pytest.mark.parametrize(
    ("loads", "why"),
    [
        (["1", "0/s"], "s1.py: must be above 0, got '0/s'"),
        (["1", "0s:5"], "s1.py: must have a total duration above 0 s, got '0s:5'"),
        (["1", "5s:1.5"], "s1.py: stage 1: its target must be a whole number"),
        (["1", "5x:1"], "s1.py: stage 1: its duration must be a duration"),
        (["1", "5s:1/s,5s:2"], "s1.py: must have a time unit"),
    ],
)
def test_an_invalid_load_is_reported_with_its_file(loads, why):
    with pytest.raises(ValueError, match=re.escape(why)):
        loads_of(loads)
