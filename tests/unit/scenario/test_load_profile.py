"""Stages: parsing, and that counts and times agree to the nanosecond."""

from __future__ import annotations

from fractions import Fraction
from math import inf

import pytest
from hypothesis import given
from hypothesis import strategies as st

from amoc.base.clock import S_NS, parse_rate
from amoc.base.errors import ScenarioError
from amoc.scenario.load_profile import MAX_COUNT, MAX_RATE, Stage, Stages, parse_profile, sum_of
from amoc.throttle import parse_profile as shapes

pytestmark = pytest.mark.once

DURATIONS = st.one_of(st.just(0), st.integers(1, 50), st.integers(0, 10**13))
COUNTS = st.one_of(st.integers(0, 20), st.integers(0, 10**6))
PROFILES = st.builds(
    Stages,
    st.lists(st.builds(Stage, DURATIONS, COUNTS.map(Fraction)), min_size=1, max_size=5).map(tuple),
    COUNTS.map(Fraction),
)


def test_stages_ramp_linearly_from_the_previous_target():
    stages = Stages.parse("30s:100, 2m:1000,30s:0")
    assert stages.total_s == 180
    assert stages.targets == [100, 1000, 0]
    assert stages.highest == 1000
    assert [stages.value_at(t) for t in (0, 15, 30, 90, 150, 165, 180, 999)] == [
        *(0, 50, 100, 550, 1000, 500, 0, 0)
    ]
    assert stages.count_at(S_NS) == 3
    assert stages.due_ns(1) == 300_000_000
    assert stages.due_ns(1000) == 150 * S_NS
    assert stages.due_ns(1001) is None


def test_a_zero_length_stage_jumps_and_an_equal_target_holds():
    stages = Stages.parse("10s:0, 0s:500, 10s:500, 0s:20")
    assert stages.count_at(10 * S_NS - 1) == 0
    assert stages.count_at(10 * S_NS) == 500
    assert stages.count_at(20 * S_NS - 1) == 500
    assert stages.count_at(20 * S_NS) == 20
    assert stages.due_ns(1) == stages.due_ns(500) == 10 * S_NS
    assert stages.due_ns(21, after_ns=20 * S_NS) is None


def test_stages_may_start_above_zero():
    stages = Stages.parse("10s:0", start=10)
    assert stages.count_at(0) == 10
    assert stages.due_ns(10) == 0
    assert stages.count_at(1) == 9


def test_a_later_rise_is_found_after_an_earlier_one():
    stages = Stages.parse("10s:10, 10s:0, 10s:10")
    assert stages.due_ns(5) == 5 * S_NS
    assert stages.due_ns(5, after_ns=16 * S_NS) == 25 * S_NS
    assert stages.due_ns(5, after_ns=12 * S_NS) == 12 * S_NS


@given(PROFILES, COUNTS, st.integers(0, 10**13))
def test_a_count_is_due_at_the_nanosecond_at_which_it_is_reached(stages, k, after_ns):
    due_ns = stages.due_ns(k, after_ns)
    if due_ns is None:
        assert stages.count_at(after_ns) < k
        assert stages.count_at(max(after_ns, stages.total_ns)) < k
        assert all(
            leg.before < k or leg.end_ns <= after_ns or leg.begin_ns == leg.end_ns
            for leg in stages.legs()
            if leg.begin_ns >= after_ns
        )
        return
    assert due_ns >= after_ns
    assert stages.count_at(due_ns) >= k
    if due_ns > after_ns:
        assert stages.count_at(due_ns - 1) < k
        edges = [leg.begin_ns for leg in stages.legs() if after_ns <= leg.begin_ns < due_ns]
        assert all(stages.count_at(edge) < k for edge in edges)


@given(PROFILES, st.lists(st.integers(0, 10**9), min_size=2, max_size=8))
def test_counts_are_monotonic_within_a_stage(stages, parts):
    for leg in stages.legs():
        length_ns = leg.end_ns - leg.begin_ns
        if not length_ns:
            continue
        times = sorted(leg.begin_ns + part * (length_ns - 1) // 10**9 for part in parts)
        counts = [stages.count_at(t) for t in times]
        assert counts == sorted(counts, reverse=leg.target < leg.before)
        low, high = sorted((leg.before, leg.target))
        assert all(low <= count <= high for count in counts)


@given(PROFILES, st.integers(0, 10**13), st.integers(0, 10**13), st.lists(st.integers(0, 10**9)))
def test_no_peak_between_two_times_is_missed(stages, one, other, parts):
    first_ns, last_ns = sorted((one, other))
    most = stages.most_between(first_ns, last_ns)
    times = [first_ns + (last_ns - first_ns) * part // 10**9 for part in parts]
    assert all(stages.count_at(t) <= most for t in [first_ns, last_ns, *times])
    due_ns = stages.due_ns(most, first_ns)
    assert due_ns is not None
    assert due_ns <= last_ns
    above_ns = stages.due_ns(most + 1, first_ns)
    assert above_ns is None or above_ns > last_ns


@given(PROFILES)
def test_due_times_of_successive_counts_never_decrease(stages):
    due = [stages.due_ns(k) for k in range(1, min(stages.highest, 100) + 1)]
    found = [t for t in due if t is not None]
    assert due[: len(found)] == found == sorted(found)  # counts that are never reached come last


@given(PROFILES)
def test_stages_survive_a_round_trip_through_text(stages):
    assert Stages.parse(str(stages), int(stages.start)) == stages


@pytest.mark.parametrize(
    ("text", "complaint"),
    [
        ("", "stage 1 must be DURATION:TARGET such as 30s:100, got ''"),
        ("100", "stage 1 must be DURATION:TARGET such as 30s:100, got '100'"),
        ("30s:100,", "stage 2 must be DURATION:TARGET such as 30s:100, got ''"),
        ("30s:", "stage 1 must be DURATION:TARGET such as 30s:100, got '30s:'"),
        (
            "30s:100, x:5",
            "stage 2: its duration must be a duration such as 500ms, 30s, 1m30s or 2h, got 'x'",
        ),
        ("-1s:100", "stage 1: its duration must not be negative, got '-1s'"),
        ("inf:100", "stage 1: its duration must be at most 1e+08 s, got 'inf'"),
        (
            "1s:1, 1s:1.5",
            f"stage 2: its target must be a whole number from 0 to {MAX_COUNT}, got '1.5'",
        ),
        ("1s:-1", "got '-1'"),
        (f"1s:{'9' * 5000}", "must be a whole number"),
        ("1s:²", "must be a whole number"),
        ("1s:1:2", "got '1:2'"),
        ("1s:1," * 1000 + "1s:1", "must have at most 1000 stages, got 1001"),
    ],
    ids=lambda text: text[:20],
)
def test_an_invalid_stage_is_reported_with_rule_and_value(text, complaint):
    with pytest.raises(ValueError, match="stage") as caught:
        Stages.parse(text)
    assert complaint in str(caught.value)
    assert "\n" not in str(caught.value)


@given(st.text(alphabet="0123456789smhinf.:,/- "))
def test_any_text_is_a_profile_or_a_clear_error(text):
    for parse in (Stages.parse, lambda text: parse_profile(text, 60.0)):
        try:
            parse(text)
        except ValueError as error:
            assert "must" in str(error)  # noqa: PT017


@pytest.mark.parametrize(
    ("text", "rate"),
    [
        ("10/s", (10.0, 1.0)),
        ("600/min", (600.0, 60.0)),
        ("600 / m", (600.0, 60.0)),
        ("3600/h", (3600.0, 3600.0)),
        ("5/10s", (5.0, 10.0)),
        ("0.5/s", (0.5, 1.0)),
        ("7", (7.0, 60.0)),
        ("0", (0.0, 60.0)),
        ("inf", (inf, 60.0)),
        ("inf/s", (inf, 1.0)),
    ],
)
def test_a_rate_is_a_number_per_interval(text, rate):
    assert parse_rate(text) == rate


@pytest.mark.parametrize("text", ["", "/s", "10/", "ten/s", "10/fortnight", "1/0s", "1/inf", "1e3"])
def test_an_invalid_rate_is_reported_with_valid_spellings(text):
    with pytest.raises(ValueError, match="must be a rate such as 10/s") as caught:
        parse_rate(text)
    assert str(caught.value).endswith(f"got {text!r}")


def test_a_negative_rate_is_refused():
    with pytest.raises(ValueError, match=r"must not be negative, got '-1/s'"):
        parse_rate("-1/s")


def test_a_rate_without_a_colon_is_constant():
    assert parse_profile("600/min", 60.0) == 600.0
    assert parse_profile("10/s", 60.0) == 600.0
    assert parse_profile("7", 1.0) == 7.0
    assert parse_profile("0", 60.0) == 0.0
    assert parse_profile("inf", 60.0) == inf


def test_rates_of_stages_are_per_the_throttles_own_interval():
    stages = parse_profile("30s:10/s, 1m:120/min, 0s:5, 1s:0.1", 60.0)
    assert isinstance(stages, Stages)
    assert stages.targets == [600, 120, 5, 0.1]
    assert stages.stages[3].target == Fraction(1, 10)


def test_a_concurrency_limit_takes_plain_numbers():
    assert parse_profile("5", 0) == 5.0
    assert parse_profile("1s:5, 1s:9", 0).targets == [5, 9]
    with pytest.raises(ValueError, match="must be a number without a unit"):
        parse_profile("5/s", 0)


@pytest.mark.parametrize(
    ("text", "complaint"),
    [
        ("1s:inf", "stage 1: its target must be below infinity, got 'inf'"),
        ("1000001/s", "must be at most 1000000/s (or inf), got '1000001/s'"),
        ("1s:x", "stage 1: its target must be a rate such as 10/s"),
    ],
)
def test_an_invalid_target_rate_is_reported(text, complaint):
    with pytest.raises(ValueError, match="must") as caught:
        parse_profile(text, 60.0)
    assert complaint in str(caught.value)


@pytest.mark.parametrize("interval_s", [0.001, 0.1, 1.0, 60.0, 1e8])
def test_the_highest_parsable_rate_is_the_highest_of_a_throttle(interval_s):
    highest = parse_profile(f"{MAX_RATE}/s", interval_s)
    assert shapes.check_rate("a", highest, interval_s) == highest == MAX_RATE * interval_s
    with pytest.raises(ScenarioError, match=r"must be at most 1000000/s"):
        shapes.check_rate("a", highest * 1.001, interval_s)


@pytest.mark.parametrize(
    ("stages", "per_s"),
    [
        ("6s:120, 12s:120", 20.0),
        ("10s:10, 1s:30, 1m:0", 20.0),
        ("0s:500, 1h:0", 500.0),
        ("9s:0", 0.0),
    ],
)
def test_the_steepest_rise_counts_a_jump_as_one_second(stages, per_s):
    assert Stages.parse(stages).steepest_per_s == per_s


@given(st.lists(PROFILES, min_size=1, max_size=4), st.integers(0, 10**13))
def test_a_sum_equals_its_parts_at_each_time(profiles, t_ns):
    total = sum_of(profiles)
    times = {t_ns, 0, *(leg.end_ns + d for one in profiles for leg in one.legs() for d in (-1, 0))}
    for at_ns in times - {-1}:
        assert total.exactly_at(at_ns) == sum(one.exactly_at(at_ns) for one in profiles)
    assert total.total_ns == max(one.total_ns for one in profiles)
    assert total.start == sum(one.start for one in profiles)


@given(st.lists(PROFILES, min_size=1, max_size=3))
def test_a_sum_survives_json_to_nine_digits(profiles):
    total = sum_of(profiles)
    again = Stages.from_json(total.to_json())
    assert again.start == total.start
    assert [one.duration_ns for one in again.stages] == [one.duration_ns for one in total.stages]
    assert again.targets == pytest.approx(total.targets, rel=1e-9, abs=1e-9)
