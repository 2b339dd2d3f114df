"""Durations: parsing text, and formatting seconds for people."""

from __future__ import annotations

from math import inf

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from amoc.base.clock import format_duration, parse_duration

UNITS = {"us": 1e-6, "ms": 1e-3, "s": 1.0, "min": 60.0, "m": 60.0, "h": 3600.0, "d": 86400.0}


@given(st.integers(0, 10**6), st.integers(0, 999), st.sampled_from(sorted(UNITS)))
def test_a_number_with_a_unit_is_converted_to_seconds(whole, thousandths, unit):
    text = f"{whole}.{thousandths:03}{unit}"
    assert parse_duration(text) == pytest.approx((whole + thousandths / 1000) * UNITS[unit])


@given(st.lists(st.tuples(st.integers(0, 1000), st.sampled_from(sorted(UNITS))), min_size=1))
def test_parts_add_up(parts):
    text = " ".join(f"{number}{unit}" for number, unit in parts)
    total = sum(number * UNITS[unit] for number, unit in parts)
    assert parse_duration(text) == pytest.approx(total)
    assert parse_duration(text.upper()) == parse_duration(text)


def test_a_bare_number_is_in_the_callers_unit():
    assert parse_duration("30") == 30.0
    assert parse_duration("1500", bare_unit="ms") == 1.5
    assert parse_duration("2s", bare_unit="ms") == 2.0


def test_infinity_is_a_duration():
    assert parse_duration("inf") == parse_duration(" Infinity ") == inf


@pytest.mark.parametrize(
    "text", ["", " ", "s", "1.s", ".5s", "1e3", "5x", "1s,2s", "nan", "1s2", "0x10", "1_0s"]
)
def test_invalid_text_is_refused_with_examples_of_valid_durations(text):
    with pytest.raises(ValueError, match="must be a duration such as") as caught:
        parse_duration(text)
    assert str(caught.value).endswith(f"got {text!r}")


def test_a_negative_duration_is_refused():
    with pytest.raises(ValueError, match=r"must .*, got '-1s'"):
        parse_duration("-1s")


@given(st.text())
def test_any_text_is_a_duration_or_refused(text):
    try:
        assert parse_duration(text) >= 0
    except ValueError as error:
        assert repr(text) in str(error)  # noqa: PT017


@pytest.mark.parametrize(
    ("seconds", "text"),
    [
        (0, "0 µs"),
        (850e-6, "850 µs"),
        (12.34e-3, "12.3 ms"),
        (1.2, "1.2 s"),
        (99, "99 s"),
        (125, "2m05s"),
        (3599.9, "1h00m00s"),
        (7384, "2h03m04s"),
        (inf, "forever"),
    ],
)
def test_a_duration_is_shown_in_a_fitting_unit(seconds, text):
    assert format_duration(seconds) == text


@given(st.floats(1e-7, 1e6))
@example(999.6e-6)
@example(0.9996)
@example(99.96)
@example(119.7)
def test_a_shown_duration_is_within_one_percent_and_has_no_exponent(seconds):
    shown = format_duration(seconds)
    assert "e" not in shown
    assert parse_duration(shown.replace("µ", "u")) == pytest.approx(seconds, rel=0.01, abs=5e-10)
