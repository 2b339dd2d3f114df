"""The comparison page: complete, self-contained, and with gaps shown as gaps."""

from __future__ import annotations

import json
import re

import pytest

from amoc.base.errors import ResourceError
from amoc.results.compare import charts, page
from amoc.results.compare.comparison import compare
from amoc.results.run_directory import RunDirectory
from amoc.results.saved_run import SavedRun, load
from amoc.results.series import Point
from tests.unit.results import runs

HOSTILE = "</script><img src=x onerror=alert(1)>\u2028" + "x" * 10_000


def left(path, seconds=60, comment="", **parts) -> SavedRun:
    runs.leave(path, runs.points(seconds, **parts), runs.journal(seconds, comment=comment))
    return load(RunDirectory(path))


def data_of(html: str) -> dict:
    found = re.search(r'<script type="application/json" id="data">(.*?)</script>', html, re.DOTALL)
    return json.loads(found[1])


def test_both_runs_are_in_each_chart(tmp_path):
    found = compare(left(tmp_path / "a"), left(tmp_path / "b", 30, seed=2, service_s=0.03))
    html = page.render(found)
    data = data_of(html)
    assert len(data["times"]) == 60
    for chart in data["charts"].values():
        assert {line["label"][0] for line in chart["lines"]} == {"A", "B"}
    rates = {line["label"]: line["values"] for line in data["charts"]["counter0"]["lines"]}
    assert None not in rates["A"]
    assert None not in rates["B"][:30]
    assert rates["B"][30:] == [None] * 30
    assert found.conclusion() in html.replace("&#39;", "'")
    assert ">slower<" in html


def test_the_page_is_self_contained(tmp_path):
    html = page.render(compare(left(tmp_path / "a"), left(tmp_path / "b", seed=2)))
    assert "default-src &#39;none&#39;" in html
    assert not re.search(r'(?:src|href)="(?!#|data:)', html)


def test_text_from_a_scenario_is_escaped(tmp_path):
    points = [
        Point(t_s=n + 1.0, span_s=1.0, users={"running": 1}, counters={HOSTILE: 1})
        for n in range(20)
    ]
    runs.leave(tmp_path / "a", points, runs.journal(20, comment=HOSTILE, scenario=HOSTILE))
    record = load(RunDirectory(tmp_path / "a"))
    html = page.render(compare(record, left(tmp_path / "b", comment=HOSTILE)))
    assert "<img" not in html
    assert html.count("</script>") == 2
    assert len(html) < 400_000


def test_runs_without_a_second_have_a_page(tmp_path):
    runs.leave(tmp_path / "a", [], runs.journal(0))
    empty = load(RunDirectory(tmp_path / "a"))
    assert "too little data" in page.render(compare(empty, empty))
    assert data_of(page.render(compare(empty, left(tmp_path / "b"))))["times"]


def test_the_page_is_private_to_its_owner_and_write_errors_are_reported(tmp_path):
    found = compare(left(tmp_path / "a", 5), left(tmp_path / "b", 5))
    page.write(found, tmp_path / "page.html")
    assert (tmp_path / "page.html").stat().st_mode & 0o777 == 0o600
    with pytest.raises(ResourceError, match="cannot be written: No such file"):
        page.write(found, tmp_path / "nowhere" / "page.html")


# One axis for two runs


def ticking(span_s: float, count: int, hole: range = range(0)) -> list[Point]:
    return [
        Point(t_s=(n + 1) * span_s, span_s=span_s, counters={"sent": 10})
        for n in range(count)
        if n not in hole
    ]


@pytest.mark.parametrize("span_s", [1.0, 0.98, 1.003, 1.04])
def test_seconds_of_inexact_length_leave_no_gaps(span_s):
    rows = charts.steps(
        [("A", ticking(span_s, 300)), ("B", ticking(1.0, 300))], 300 * max(span_s, 1.0)
    )
    reached = int(300 * span_s)
    assert all(row.seconds for row in rows["A"][: reached - 1])
    assert len(rows["A"]) == len(rows["B"])


def test_missing_seconds_and_the_end_of_the_shorter_run_are_gaps():
    rows = charts.steps(
        [("A", ticking(1.0, 60, hole=range(20, 30))), ("B", ticking(1.0, 10))], 60.0
    )
    there = [bool(row.seconds) for row in rows["A"]]
    assert there == [not 20 <= n < 30 for n in range(60)]
    assert [bool(row.seconds) for row in rows["B"]] == [True] * 10 + [False] * 50
    assert [row.t_s for row in rows["A"]] == [float(n) for n in range(1, 61)]
    assert {row.seconds for row in rows["A"]} == {0.0, 1.0}


def test_a_second_is_shown_only_where_it_covers_the_middle_of_a_step():
    """No data between 1 s and 2.2 s, which is too short for a gap."""
    points = [Point(t_s=1.0, span_s=1.0), Point(t_s=3.2, span_s=1.0)]
    rows = charts.steps([("A", points)], 4.0)["A"]
    assert [bool(row.seconds) for row in rows] == [True, False, True, False]


def test_long_runs_are_limited_to_the_chart_width_and_lose_no_counts():
    points = ticking(1.0, 10_000)
    rows = charts.steps([("A", points), ("B", [])], 10_000.0, most=1_000)
    assert len(rows["A"]) == 1_000
    assert sum(row.seconds for row in rows["A"]) == 10_000
