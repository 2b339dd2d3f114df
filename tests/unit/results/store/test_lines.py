"""JSON lines written by earlier versions are read, and damage to them is reported."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from amoc.base.json_lines import LineFile
from amoc.results.series import Point
from amoc.results.store.lines import LineSeries
from tests.unit.results import runs


def leave(path: Path, points: list[Point]) -> None:
    """Write a file as earlier versions did."""
    file = LineFile(path, "series", seal=True)
    for point in points:
        assert file.write(point.to_json())
    file.close()


def test_lines_are_read_as_points(tmp_path):
    points = runs.points(30)
    leave(path := tmp_path / "series.jsonl", points)
    series = LineSeries(path, 30)
    assert list(series) == list(series) == points
    assert (len(series), series.problems) == (30, [])
    assert points[3] in series
    assert LineSeries(path, 31).problems == ["line 31 is missing"]


def test_torn_lines_are_skipped_and_reported(tmp_path):
    leave(path := tmp_path / "series.jsonl", runs.points(5))
    lines = path.read_bytes().splitlines(keepends=True)
    lines[1] = lines[1][:40] + b"\n"
    lines[2] = b'{"t_s": 3, "span_s": 1, "timers": {"x": 1}}\n'
    path.write_bytes(b"".join(lines)[:-30])
    series = LineSeries(path)
    assert [point.t_s for point in series] == [1, 4]
    assert series.problems == ["2 lines are damaged, the first is line 2"]


def test_lines_appended_later_are_not_read(tmp_path):
    leave(path := tmp_path / "series.jsonl", points := runs.points(5))
    series = LineSeries(path)
    with path.open("a") as file:
        file.write(json.dumps(points[-1].to_json()) + "\n")
    assert list(series) == points


@pytest.mark.parametrize(
    "timer",
    [
        '{"cells":[1],"max_ns":1}',
        '{"cells":[1,],"max_ns":1}',
        '{"cells":[01,2],"max_ns":1}',
        '{"cells":"1,2","max_ns":1}',
        '{"cells":[1,2]}',
        "[1,2]",
    ],
)
def test_a_line_with_invalid_cells_is_skipped(tmp_path, timer):
    path = tmp_path / "series.jsonl"
    good = '{"t_s":1.0,"span_s":1.0,"timers":{"x":{"cells":[1,2],"max_ns":1}}}'
    bad = f'{{"t_s":2.0,"span_s":1.0,"timers":{{"x":{timer}}}}}'
    path.write_text(f"{good}\n{bad}\n")
    series = LineSeries(path)
    assert [point.timers["x"].cells for point in series] == [{1: 2}]
    assert (len(series), series.problems) == (1, ["line 2 is damaged"])
