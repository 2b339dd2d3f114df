"""Arrival rates: their notation, and the number of iterations that they result in."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from amoc.scenario.arrivals import Arrivals
from amoc.scenario.load_profile import Stages


@pytest.mark.parametrize(
    ("text", "per_s"), [("200/s", 200.0), ("600/min", 10.0), ("3600/h", 1.0), ("0/s", 0.0)]
)
def test_a_rate_is_per_second_minute_or_hour(text, per_s):
    assert Arrivals.parse(text).profile == per_s
    assert Arrivals.parse(text).total_s is None


def test_stages_ramp_from_0_and_end_with_the_last_one():
    found = Arrivals.parse("10s:100/s, 20s:100/s,10s:0/s")
    assert isinstance(found.profile, Stages)
    assert found.total_s == 40.0
    assert found.count_until(10.0) == 500.0
    assert found.count_until(20.0) == 1_500.0
    assert found.count_until(40.0) == found.count_until(50.0) == 3_000.0


@pytest.mark.parametrize(
    ("text", "why"),
    [
        ("200", "must have a time unit, such as 200/s"),
        ("30s:10", "must have a time unit"),
        ("inf/s", "must be"),
        ("inf", "must be below infinity"),
        ("-1/s", "must not be negative"),
        ("fast", "must be a rate such as 10/s"),
        ("0s:10/s", "must have a total duration above 0 s"),
        ("2000000/s", "must be at most 1000000/s"),
    ],
)
def test_an_invalid_rate_is_refused(text, why):
    with pytest.raises(ValueError, match=why):
        Arrivals.parse(text)


@given(st.integers(0, 10_000), st.integers(1, 10**6), st.floats(0, 100))
def test_arrivals_survive_serialisation(rate, most, seconds):
    one = Arrivals.parse(f"{rate}/s", most)
    assert Arrivals.from_json(one.to_json()) == one
    assert one.count_until(seconds) == rate * seconds
