"""Zooming into part of a run gives the same seconds as the charts of the whole run."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from amoc.metrics.health_figures import WorkerPoint
from amoc.results.report import detail, page
from amoc.results.report.downsample import MAX_ROWS
from amoc.results.saved_run import SavedRun
from amoc.results.series import Point
from amoc.results.store.reader import StoredSeries, between
from amoc.results.summary import rebuild
from tests.unit.results import runs

LONG = 90


def eventful() -> list[Point]:
    """A run with a pause, a missing second, a late node, and more workers than chart lines."""
    points = runs.points(LONG, stall=range(40, 44))
    for at in (20, 21):
        points[at] = replace(points[at], state="paused", active_s=0.0)
    points[60] = replace(points[60], late=["node0"])
    workers = [WorkerPoint(node="node0", worker=at, cpu=at / 20) for at in range(9)]
    points = [replace(one, workers=workers) for one in points]
    return [*points[:30], *points[31:]]


POINTS = eventful()


def shown(points: list[Point]) -> tuple[dict[str, Any], detail.Shown]:
    """The data a page draws for a run, and the metadata of its charts."""
    summary = rebuild("run", "there", [], points, False)
    data, _, found = page.parts(SavedRun(Path("there"), summary, points, [], True))
    return data, detail.Shown.from_json(json.loads(json.dumps(found.to_json())))  # type: ignore[return-value]


DATA, SHOWN = shown(POINTS)


@settings(deadline=None, max_examples=30)
@given(st.floats(0, LONG), st.floats(0.1, LONG))
@example(31.0, 1.0)  # right after the missing second
def test_a_part_has_the_same_values_as_the_whole(from_s, span_s):
    to_s = from_s + span_s
    made = detail.columns(POINTS, from_s, to_s, SHOWN)
    times: Any = made["times"]
    whole = [at for at, t_s in enumerate(DATA["times"]) if times and times[0] <= t_s <= times[-1]]
    assert times == [DATA["times"][at] for at in whole]
    # Counts of a late node arrive with its next sample, which may be after the part ends.
    inner = [at for at in range(len(times)) if not 58 <= times[at] <= 63]
    columns: Any = made["columns"]
    for key, chart in DATA["charts"].items():
        for line in chart["lines"]:
            values = columns[key][line["label"]]
            assert [values[at] for at in inner] == [line["values"][whole[at]] for at in inner], (
                f"{key}: {line['label']}"
            )


def test_a_part_has_exactly_the_seconds_between_two_times():
    made = detail.columns(POINTS, 9.5, 15.2, SHOWN)
    assert made["times"] == [10, 11, 12, 13, 14, 15, 16]
    assert made["row_s"] == 1
    assert detail.columns(POINTS, 500.0, 600.0, SHOWN)["times"] == []


@given(st.floats(-5, LONG + 5), st.floats(-5, LONG + 5))
@settings(deadline=None)
def test_a_stored_series_returns_the_seconds_of_a_part(stored, from_s, to_s):
    assert between(stored, from_s, to_s) == between(POINTS, from_s, to_s)


@pytest.fixture(scope="module")
def stored(tmp_path_factory):
    directory = runs.leave(tmp_path_factory.mktemp("run"), POINTS)
    return StoredSeries(directory / "series.amoc")


def test_a_long_part_has_longer_rows():
    points = [Point(float(t), 1.0, users={"running": t}) for t in range(1, 2 * MAX_ROWS + 1)]
    _, found = shown(points[:10])
    made: Any = detail.columns(points, 500.0, 500.0 + MAX_ROWS + 500, found)
    assert made["row_s"] == 2
    running = made["columns"]["users"]["running"]
    assert running[:2] == [502, 504]
    assert len(running) == (MAX_ROWS + 500) / 2
    assert set(made["columns"]["users"]) == {"running"}


def test_the_page_has_every_second_of_an_hour_unless_that_is_too_much_data():
    points = [Point(float(t), 1.0, users={"running": t}) for t in range(1, page.SINGLE_S + 2)]
    assert shown(points[:-1])[0]["row_s"] == 1
    assert len(shown(points[:-1])[0]["times"]) == page.SINGLE_S
    assert shown(points)[0]["row_s"] == 3
    busy = {f"counter_{at}": 1 for at in range(100)}
    gauges = {f"gauge_{at}": 1.0 for at in range(100)}
    many = [replace(one, counters=busy, gauges=gauges) for one in points[:-1]]
    _, found = shown(many[:2])
    assert len(many) * found.charted.lines < page.MAX_VALUES
    assert found.charted.lines >= sum(len(some) for some in found.labels.values())
