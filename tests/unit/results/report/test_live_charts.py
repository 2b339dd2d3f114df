"""Live charts equal those of a report, however they were built up."""

from __future__ import annotations

from dataclasses import replace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from amoc.metrics.health_figures import WorkerPoint
from amoc.results.report import content
from amoc.results.report.charted import MAX_CAUSES, Charted, Names
from amoc.results.report.downsample import MAX_ROWS
from amoc.results.report.live_charts import LiveCharts
from amoc.results.run_totals import RunTotals
from amoc.results.series import Point
from amoc.results.summary import rebuild
from tests.unit.results import runs


def made(points: list[Point], charted: Charted | None = None) -> LiveCharts:
    """All charts of some seconds, built at once."""
    charts = LiveCharts()
    summary = rebuild("run", "run", runs.journal(60), points, True)
    timers = content.covered_by(summary).timers
    durations = RunTotals.of(points).whole.timers
    charts.make(points, charted or Charted.of(summary, timers), durations, timers)
    return charts


def grown(points: list[Point], at: int, steps: int, charted: Charted | None) -> LiveCharts:
    """The same, built from the first seconds and extended by the others."""
    charts = made(points[:at], charted)
    for begin in range(at, len(points), steps):
        for point in points[begin : begin + steps]:
            charts.add(point)
        summary = rebuild("run", "run", runs.journal(60), points[: begin + steps], True)
        durations = RunTotals.of(points[: begin + steps]).whole.timers
        charts.update(durations, content.covered_by(summary).timers)
    return charts


def eventful(length: int, happens: list[tuple[int, str]]) -> list[Point]:
    """A run in which nodes are late, it is paused, or a second is missing."""
    points = dict(enumerate(runs.points(length)))
    for at, what in happens:
        if at in points and what == "missing":
            del points[at]
        elif at in points:
            late = ["node0"] if what == "late" else []
            state = "paused" if what == "paused" else "running"
            points[at] = replace(points[at], state=state, late=late)
    return list(points.values())


@settings(max_examples=15, deadline=None)
@given(
    st.integers(12, 20),
    st.integers(0, 4),
    st.lists(st.tuples(st.integers(5, 19), st.sampled_from(["late", "paused", "missing"]))),
    st.integers(1, 3),
)
def test_incrementally_built_charts_equal_those_built_at_once(length, before, happens, steps):
    points = eventful(length, happens)
    at = len(points) - before
    whole = made(points)
    there = grown(points, at, steps, whole.charted)
    assert there.drawing.data(there.times) == whole.drawing.data(whole.times)
    assert there.final == whole.final
    assert there.edition == 1


def test_updates_contain_only_changes():
    points = runs.points(30)
    charts = made(points[:20])
    held = charts.drawing.data(charts.times)
    first = charts.final
    for point in points[20:]:
        charts.add(point)
    assert charts.update({}, content.covered_by(rebuild("", "", [], points, True)).timers)
    sent = charts.since(first)
    assert sent["from"] == first == 19, "the last second may yet be joined by a short one"
    for key, columns in sent["columns"].items():
        lines = held["charts"][key]["lines"]
        for line, column in zip(lines, columns, strict=True):
            line["values"][first:] = column
    assert [*held["times"][:first], *sent["times"]] == [point.t_s for point in points]
    assert held["charts"] == charts.drawing.data(charts.times)["charts"]


@pytest.mark.parametrize(
    "new",
    [
        {"users": {"lost": 3}},
        {"workers": [WorkerPoint("node1", 0, cpu=0.5)]},
        {"gauges": {"connected": 1.0, "queue": 2.0}},
    ],
)
def test_update_returns_false_when_a_chart_lacks_a_line_for_new_data(new):
    points = runs.points(12)
    charts = made(points[:10])
    timers = content.covered_by(rebuild("", "", [], points, True)).timers
    charts.add(points[10])
    assert charts.update({}, timers)
    charts.add(replace(points[11], **new))
    fits = charts.update({}, timers)
    assert fits is ("gauges" in new), "what has a name of its own is a matter of Charted"


def test_metrics_keep_their_place_and_new_ones_are_appended():
    before = Charted(causes=Names.of(["b", "a"], MAX_CAUSES))
    now = Charted(causes=Names.of(["a", "c", "b", *"defgh"], MAX_CAUSES))
    after = now.after(before)
    assert after.causes.shown == (*"bacdef",)
    assert after.causes.others == {"g", "h"}
    assert after.shown != before.shown
    assert now.after(after).shown == after.shown


def test_the_worst_of_many_workers_keep_their_lines():
    def second(t: int, worst: int) -> Point:
        cpu = [0.9 if at == worst else 0.1 for at in range(12)]
        workers = [WorkerPoint("node0", at, cpu=one) for at, one in enumerate(cpu)]
        return Point(float(t), 1.0, users={"running": 5}, workers=workers)

    points = [second(t, 3) for t in range(1, 11)] + [second(t, 7) for t in range(11, 14)]
    charts = made(points[:10])
    for point in points[10:]:
        charts.add(point)
    assert charts.update({}, {})
    (cpu,) = [one for one in charts.drawing.charts if one.key == "cpu"]
    lines = {line.label: line.values for line in cpu.lines}
    assert lines["worker 3 of node0"][-3:] == [0.1] * 3
    assert "worker 7 of node0" not in lines
    assert lines["maximum of all workers"] == [0.9] * 13


def test_rows_of_a_long_run_are_merged():
    points = [Point(float(t), 1.0, users={"running": t}) for t in range(1, 2 * MAX_ROWS + 3)]
    charts = LiveCharts()
    charts.make([], Charted(), {}, {})
    for point in points:
        charts.add(point)
    charts.update({}, {})
    assert charts.is_too_long
    charts.make(points, Charted(), {}, {})
    assert not charts.is_too_long
    assert len(charts.times) <= MAX_ROWS
    assert charts.row_s == 3.0
