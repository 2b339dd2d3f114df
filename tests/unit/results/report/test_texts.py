"""Numbers and differences formatted for people."""

from __future__ import annotations

import pytest

from amoc.base.clock import time_of_day
from amoc.results.report import tables
from amoc.results.report.texts import around, difference, size


@pytest.mark.parametrize(
    ("first", "second", "unit", "said"),
    [
        (100.1, 100.1 - 0.004354, "/s", ("", "")),
        (100.1, 100.2, "/s", ("+0.1/s", "+0.1 %")),
        (12_345.0, 12_346.0, "", ("+1", "+0.008 %")),
        (5.0, 6.0, "", ("+1", "+20.0 %")),
        (0.00868, 0.008684, "s", ("", "")),
        (0.02, 0.025, "s", ("+5 ms", "+25.0 %")),
        (0.5, 0.25, "s", ("-250 ms", "-50.0 %")),
        (0.40, 0.425, "%", ("+2.5 points", "+6.2 %")),
        (0.0, 0.02, "%", ("+2 points", "")),
        (1_000.0, 3_000.0, "/s", ("+2,000/s", "+200 %")),
        (0.0, 0.0, "/s", ("", "")),
        (None, 1.0, "s", ("", "")),
    ],
)
def test_a_difference_has_no_more_precision_than_its_values(first, second, unit, said):
    assert difference(first, second, unit) == said


def test_an_exact_difference_is_shown_however_small():
    assert difference(1000.2, 1000.4, "/s", exact=True) == ("+0.2/s", "+0.02 %")


@pytest.mark.parametrize(
    ("noise", "value", "unit", "said"),
    [
        (0.0123456, 1.0, "s", "± 12 ms"),
        (0.0123456, 0.5, "%", "± 1.2 points"),
        (0.01, 0.5, "%", "± 1 point"),
        (234.5, 0.5, "%", "± 23,000 points"),
        (1_234.0, 9_000.0, "/s", "± 1,200/s"),
        (0.00002, 20.0, "", "± 0"),
        (0.25, 0.0, "/s", "± 0.25/s"),
        (None, 1.0, "s", ""),
    ],
)
def test_noise_has_two_digits_at_most(noise, value, unit, said):
    assert around(noise, value, unit) == said


@pytest.mark.parametrize(
    ("stamp", "said"),
    [
        ("2026-11-25T02:47:59.123+00:00", "2026-11-25 02:47:59 UTC"),
        ("2026-11-25T02:47:59+05:30", "2026-11-24 21:17:59 UTC"),
        ("2026-11-25T02:47:59", "2026-11-25 02:47:59"),
        ("yesterday", "yesterday"),
    ],
)
def test_times_are_shown_in_utc_unless_their_zone_is_unknown(stamp, said):
    assert time_of_day(stamp) == said


@pytest.mark.parametrize(
    ("value", "said"), [(0, "0 B"), (1023, "1023 B"), (1024, "1 KiB"), (1.5 * 2**20, "1.5 MiB")]
)
def test_a_size_uses_the_largest_unit_it_reaches(value, said):
    assert size(value) == said


def test_findings_are_a_table_of_place_figure_time_and_advice():
    finding = {
        "where": "worker 1 of node0",
        "text": "worker 1 of node0: its loop was late",
        "from_s": 3.0,
        "to_s": 9.0,
        "advice": "use more workers",
    }
    made = tables.findings([finding])  # type: ignore[list-item]
    assert (made.key, made.title) == ("findings", "Findings")
    assert made.rows == [
        ("worker 1 of node0", "its loop was late", "0:03 to 0:09", "use more workers")
    ]


def test_a_worker_with_missing_values_has_a_row():
    (row,) = tables.workers([{"node": "node0", "worker": 1}], 10.0).rows  # type: ignore[list-item]
    assert row == ("worker 1 of node0", "0", "0", "0 %", "0 B", "0 µs")
