from __future__ import annotations

import pytest

from amoc.metrics.histogram import Histogram
from amoc.metrics.timer_statistics import FIELDS, MAIN, PERCENTILES, TABLE, statistics


def test_percentiles_have_a_display_label_and_a_data_field():
    assert [one.label for one in PERCENTILES] == ["p50", "p90", "p95", "p99", "p99.9"]
    assert [one.field for one in PERCENTILES] == ["p50_s", "p90_s", "p95_s", "p99_s", "p999_s"]
    assert set(MAIN) < set(PERCENTILES)
    assert set(TABLE.values()) < set(FIELDS)


def test_the_statistics_match_the_recorded_durations():
    timer = Histogram.of(ms * 10**6 for ms in range(1, 1001))
    found = statistics(timer)
    assert tuple(found) == FIELDS
    assert found["count"] == 1000
    for one in PERCENTILES:
        assert found[one.field] == pytest.approx(one.fraction, rel=0.005)
    assert found["mean_s"] == pytest.approx(0.5005, rel=0.005)
    assert found["max_s"] == 1.0


def test_the_statistics_of_an_empty_timer_are_zero():
    assert set(statistics(Histogram()).values()) == {0}
