"""Valid and invalid shapes of a throttle's rate, and the resulting profiles."""

from __future__ import annotations

from math import inf, nan
from typing import Any

import pytest

from amoc.base.clock import MS_NS, S_NS
from amoc.base.errors import ScenarioError
from amoc.throttle.parse_profile import (
    build,
    check_interval,
    check_name,
    check_rate,
    check_seconds,
    check_timeout,
    from_text,
)
from amoc.throttle.profiles import NEVER_NS, Constant, Line, Ramps, Sine, Steps

DAY_S = 86_400


def values(shape: Any, at_s: tuple[float, ...], interval_s: float = 1.0) -> list[float]:
    """Return the rates at these times, rounded."""
    profile = build("a", shape, interval_s)
    return [round(profile.at(round(t * S_NS))[0], 6) for t in at_s]


def test_a_constant_never_changes():
    assert build("a", ["constant", 5], 1) == Constant(5.0)
    assert build("a", ["constant", inf], 1) == Constant(inf)
    assert str(Constant(inf)) == "inf"
    assert Constant(2.0).at(10**18) == (2.0, NEVER_NS)


def test_a_ramp_is_linear_in_short_steps_and_stays_at_its_end():
    assert build("a", ("ramp", 10, 30, 2), 1) == Ramps((Line(0, 2 * S_NS, 10.0, 30.0),))
    # Steps last at least 10 ms, each with the value at its middle.
    assert values(("ramp", 10, 30, 2), (0, 0.009, 0.01, 1, 1.999, 2, 9)) == [
        10.05, 10.05, 10.15, 20.05, 29.95, 30, 30,
    ]  # fmt: skip
    profile = build("a", ("ramp", 10, 30, 2), 1)
    assert [profile.at(t_ns)[1] for t_ns in (0, 10 * MS_NS, 2 * S_NS - 1, 2 * S_NS)] == [
        10 * MS_NS, 20 * MS_NS, 2 * S_NS, NEVER_NS,
    ]  # fmt: skip


def test_a_long_ramp_has_a_thousand_steps_of_at_most_a_second():
    hundred = build("a", ("ramp", 0, 1000, 100), 1)
    assert hundred.at(0) == (0.5, 100 * MS_NS)
    day = build("a", ("ramp", 0, DAY_S, DAY_S), 1)
    assert day.at(0) == (0.5, S_NS)
    assert day.at(1000 * S_NS) == (pytest.approx(1000.5), 1001 * S_NS)


def test_a_shortened_last_step_of_a_ramp_has_its_own_mean():
    odd = build("a", ("ramp", 0, 25, 0.025), 1)
    assert [odd.at(t * MS_NS) for t in (0, 10, 20, 25)] == [
        (5.0, 10 * MS_NS), (15.0, 20 * MS_NS), (22.5, 25 * MS_NS), (25.0, NEVER_NS),
    ]  # fmt: skip


def test_stairs_begin_at_the_first_rate_and_change_after_each_interval():
    assert build("a", ("stairs", 10, 40, 2, 3), 1) == Steps(
        (0, 2 * S_NS, 4 * S_NS, 6 * S_NS), (10.0, 20.0, 30.0, 40.0)
    )
    assert values(("stairs", 40, 10, 1, 1), (0, 0.999, 1, 100)) == [40, 40, 10, 10]
    assert values(("stairs", 10, 20, 1, 10_000), (0, 10_000)) == [10, 20]


def test_each_step_lasts_for_its_duration_and_the_last_forever():
    steps = build("a", ["steps", [[5, 1], [0, 2.5], [7, 1]]], 1)
    assert steps == Steps((0, S_NS, 3_500_000_000), (5.0, 0.0, 7.0))
    assert str(steps) == "3 steps from 5 to 7"
    assert [steps.at(t * S_NS) for t in (0, 1, 4)] == [
        (5.0, S_NS), (0.0, 3_500_000_000), (7.0, NEVER_NS),
    ]  # fmt: skip


def test_a_sine_begins_at_its_mean_and_rises():
    assert build("a", ["sine", 10, 30, 4], 1) == Sine(10.0, 30.0, 4 * S_NS)
    assert values(["sine", 10, 30, 4], (0.02, 1.02, 2.02, 3.02, 4.02)) == pytest.approx(
        [20, 30, 20, 10, 20], abs=0.7
    )
    wave = build("a", ["sine", 10, 30, 4], 1)
    assert wave.at(0)[1] == 40 * MS_NS  # a hundredth of its period
    assert wave.at(0)[0] == pytest.approx(20.314, abs=0.001)
    assert wave.at(40 * MS_NS)[0] == pytest.approx(20.941, abs=0.001)
    assert build("a", ["sine", 10, 30, 1], 1).at(25 * MS_NS)[1] == 30 * MS_NS
    assert build("a", ["sine", 10, 30, 1000], 1).at(1500 * MS_NS)[1] == 2 * S_NS
    assert build("a", ["sine", 3, 3, 1], 1).at(0)[0] == 3


def test_text_is_a_rate_or_stages_and_refusals_name_its_source():
    assert from_text("a", "600/min", 1) == Constant(10.0)
    assert from_text("a", "600/min", 60) == Constant(600.0)
    assert build("a", ["stages", "2s:10/s, 1s:10/s"], 1) == Ramps(
        (Line(0, 2 * S_NS, 0.0, 10.0), Line(2 * S_NS, 3 * S_NS, 10.0, 10.0))
    )
    stages = from_text("a", "2s:10/s, 1s:10/s", 1)
    assert stages.at(2 * S_NS) == (10.0, 3 * S_NS)  # constant, so a single step
    assert stages.at(3 * S_NS) == (10.0, NEVER_NS)
    assert str(stages) == "from 0 to 10 in 3 s"
    with pytest.raises(ScenarioError, match=r"^throttle a: its rate .*\(from --throttle a=…\)$"):
        from_text("a", "much", 1, "--throttle a=…")
    with pytest.raises(ScenarioError, match=r"^throttle a: its rate [^()]*$"):
        from_text("a", "much", 1)


@pytest.mark.parametrize("shape", [
    ["ramp", 0, inf, 1], ["ramp", inf, 0, 1], ["ramp", -1, 1, 1], ["ramp", 1, 1, -1],
    ["ramp", 1, 1, nan], ["ramp", 1, 1], ["stairs", 0, inf, 1, 1], ["stairs", inf, 1, 1, 1],
    ["stairs", 0, 1, 1, 0], ["stairs", 0, 1, 1, 10_001], ["stairs", 0, 1, 1, 2.0],
    ["stairs", 0, 1, 1, True], ["stairs", 0, 1, "1", 2], ["stairs", 0, 1, -1, 2],
    ["steps", []], ["steps", [[1, 1]] * 10_001], ["steps", 5], ["steps", [[1]]],
    ["steps", [[1, 1, 1]]], ["steps", [5]], ["steps", [[inf, 1]]], ["steps", [[1, -1]]],
    ["steps", [[1, 1], [nan, 1]]], ["sine", 5, 1, 10], ["sine", 0, inf, 10], ["sine", 0, 1, 0.99],
    ["sine", -1, 1, 10], ["stages", 5], ["constant"], ["constant", "5"], ["constant", True],
    ["circle", 1], [], 5, None,
])  # fmt: skip
def test_an_invalid_shape_is_refused_with_the_throttles_name(shape: Any):
    with pytest.raises(ScenarioError, match=r"^throttle a: "):
        build("a", shape, 1)


@pytest.mark.parametrize("shape", [
    ["ramp", 0, 0, 0], ["stairs", 0, 1, 0, 1], ["stairs", 0, 1, 1, 10_000], ["sine", 1, 1, 1],
    ["steps", [[1, 1]] * 10_000], ["steps", [[0, 0]]], ["constant", 0],
])  # fmt: skip
def test_boundary_values_are_accepted(shape: Any):
    build("a", shape, 1)


@pytest.mark.parametrize(
    ("rate", "interval_s", "allowed"),
    [
        (1_000_000, 1, True),
        (1_000_001, 1, False),
        (1_000_001, 2, True),
        (60_000_000, 60, True),
        (60_000_001, 60, False),
        (1_000_000, 0, True),
        (1_000_001, 0, False),
        (1_000_000 * DAY_S, None, True),
        (inf, 1, True),
        (0, 1, True),
        (-1e-9, 1, False),
        (nan, 1, False),
        (10**400, 1, False),
        ("1", 1, False),
        (False, 1, False),
    ],
)
def test_a_rate_is_from_0_to_a_million_per_second_or_infinite(
    rate: Any, interval_s: float | None, allowed: bool
):
    if allowed:
        assert check_rate("a", rate, interval_s) == rate
        return
    with pytest.raises(ScenarioError, match="throttle a: a rate must be"):
        check_rate("a", rate, interval_s)


def test_intervals_durations_timeouts_and_names_are_limited():
    for interval_s in (0, 0.001, 60, DAY_S):
        assert check_interval("a", interval_s) == interval_s
    for wrong in (0.0009, -1, nan, inf, True, "1", None):
        with pytest.raises(ScenarioError, match="throttle a: its interval must be"):
            check_interval("a", wrong)
        with pytest.raises(ScenarioError, match=r"throttle a: its period must be from 0\.1 to"):
            check_seconds("a", "period", wrong, 0.1)
    assert check_seconds("a", "duration", 0) == 0
    assert check_seconds("a", "period", 0.1, 0.1) == 0.1
    assert (check_timeout("a", 0), check_timeout("a", 5), check_timeout("a", inf)) == (0, 5, inf)
    assert check_timeout("a", 10**400) == inf
    for wrong in (-1e-9, nan, True, "1", None):
        with pytest.raises(ScenarioError, match="throttle a: a timeout must be"):
            check_timeout("a", wrong)
    for name in ("a", "a b", "=", "écran 東京\u3000🎉", "ü" * 200):
        assert check_name(name) == name
    for wrong in ("", "a\nb", "\x9b", "\ud800", "a" * 201, 5, None):
        with pytest.raises(ScenarioError, match="the name of a throttle must be"):
            check_name(wrong)
