"""Exports read back by other programs: csv, json, and HdrHistogram's own reader."""

from __future__ import annotations

import csv
import io
import json
import random
import re
from pathlib import Path

import pytest
from hdrh.histogram import HdrHistogram
from hdrh.log import HistogramLogReader
from hypothesis import given
from hypothesis import strategies as st

from amoc.metrics.histogram import CELLS, Histogram, end_ns
from amoc.results.export import hdr_log
from amoc.results.export.tables import FORMATS, csv_lines, hlog_lines, json_lines
from amoc.results.saved_run import SavedRun
from amoc.results.series import Point
from tests.unit.results import runs


def record_of(points) -> SavedRun:
    return SavedRun(None, {"run": {"id": "an-id", "verdict": "ok"}}, points, [], True)


def rows_of(points):
    text = "\n".join(csv_lines(record_of(points)))
    return list(csv.DictReader(io.StringIO(text), strict=True))


def test_a_csv_row_has_the_values_of_its_point():
    points = runs.points(30)
    rows = rows_of(points)
    assert len(rows) == 30
    point, row = points[19], rows[19]
    assert float(row["t_s"]) == 20
    assert row["state"] == "running"
    assert int(row["users.running"]) == 50
    assert int(row["crashes"]) == 1
    assert int(row["counters.messages_sent.count"]) == point.counters["messages_sent"]
    assert float(row["counters.messages_sent.per_s"]) == point.counters["messages_sent"]
    assert float(row["gauges.connected"]) == 50
    ttd = point.timers["message_ttd"]
    p50, p999 = ttd.quantiles_s(0.5, 0.999)
    assert int(row["timers.message_ttd.count"]) == ttd.count
    assert float(row["timers.message_ttd.p50_s"]) == pytest.approx(p50)
    assert float(row["timers.message_ttd.p999_s"]) == pytest.approx(p999)
    assert float(row["timers.message_ttd.max_s"]) == pytest.approx(ttd.max_ns / 1e9)
    assert float(row["throttles.messages.wanted_per_s"]) == 100
    assert float(row["workers.node0/1.cpu"]) == point.workers[1].cpu
    assert int(row["nodes.node0.memory_free_bytes"]) == 20 << 30
    assert float(row["controller.lag_s"]) == 0.002


def test_unknown_values_are_empty_rather_than_zero():
    points = [
        Point(t_s=1.0, span_s=1.0, counters={"a": 3}, gauges={"g": float("nan")}),
        Point(t_s=2.0, span_s=1.0, counters={"b,\n": 4}, timers={"t": Histogram.of([5])}),
    ]
    first, second = rows_of(points)
    assert first["gauges.g"] == second["gauges.g"] == ""
    assert first["timers.t.p50_s"] == ""
    assert float(second["timers.t.p50_s"]) == 5e-9
    assert (first["counters.a.per_s"], second["counters.a.per_s"]) == ("3.0", "")
    assert second["counters.b,\n.count"] == "4"


def test_json_is_one_document_with_summary_and_percentiles():
    points = [*runs.points(3), Point(t_s=4.0, span_s=1.0, gauges={"g": float("inf")})]
    found = json.loads("\n".join(json_lines(record_of(points))))
    assert found["summary"]["run"]["id"] == "an-id"
    assert [point["t_s"] for point in found["points"]] == [1, 2, 3, 4]
    timer = found["points"][0]["timers"]["message_ttd"]
    assert "cells" not in timer
    [p95_s] = points[0].timers["message_ttd"].quantiles_s(0.95)
    assert timer["p95_s"] == pytest.approx(p95_s, abs=1e-9)
    assert found["points"][3]["gauges"] == {"g": None}


@pytest.mark.parametrize("form", FORMATS)
def test_a_run_without_a_second_can_be_exported(form):
    lines = list(FORMATS[form](record_of([])))
    assert bool(lines) is (form != "jsonl")
    if form == "json":
        assert json.loads("\n".join(lines))["points"] == []


# Verified with HdrHistogram's own reader


def decoded(histogram: Histogram) -> HdrHistogram:
    return HdrHistogram.decode(hdr_log.encode(histogram))


@given(st.dictionaries(st.integers(0, CELLS - 1), st.integers(1, 2**53), max_size=40))
def test_every_count_is_decoded_into_its_cell(cells):
    found = decoded(Histogram(cells, 1))
    assert found.counts_len == CELLS
    there = {cell: count for cell in range(CELLS) if (count := found.get_count_at_index(cell))}
    assert there == cells
    assert found.get_total_count() == sum(cells.values())


@pytest.mark.parametrize("percentile", [50, 90, 99, 99.9, 100])
def test_percentiles_match_hdrhistograms(percentile):
    draw = random.Random(3)
    durations = [int(draw.lognormvariate(16, 1.2)) for _ in range(20_000)]
    ours = Histogram.of(durations)
    [expected_s] = ours.quantiles_s(percentile / 100)
    found = decoded(ours).get_value_at_percentile(percentile)
    assert found == pytest.approx(expected_s * 1e9, rel=1 / 128)


@pytest.mark.parametrize("ns", [0, 1, 255, 256, 10**9, end_ns(CELLS - 1), 10**15])
def test_a_duration_falls_into_the_same_cell_as_in_hdrhistogram(ns):
    found = decoded(Histogram.of([ns]))
    theirs = HdrHistogram(1, hdr_log.HIGHEST_NS, hdr_log.DIGITS)
    assert theirs.record_value(min(ns, hdr_log.HIGHEST_NS))
    assert found.get_max_value() == theirs.get_max_value()
    assert found.counts_len == theirs.counts_len


def test_the_log_is_read_line_by_line_with_tags_and_times(tmp_path):
    points = runs.points(20)
    file = tmp_path / "run.hlog"
    file.write_text("\n".join(hlog_lines(record_of(points))) + "\n")
    reader = HistogramLogReader(str(file), HdrHistogram(1, hdr_log.HIGHEST_NS, hdr_log.DIGITS))
    seen: dict[str, int] = {}
    starts = []
    try:
        while (interval := reader.get_next_interval_histogram()) is not None:
            name = interval.get_tag()
            seen[name] = seen.get(name, 0) + interval.get_total_count()
            starts.append(interval.get_start_time_stamp() / 1000 - runs.BEGAN_AT)
    finally:
        reader.close()
    expected: dict[str, int] = {}
    for point in points:
        for name, timer in point.timers.items():
            expected[name] = expected.get(name, 0) + timer.count
    assert seen == expected
    assert starts[0] == pytest.approx(0, abs=0.001)
    assert starts[-1] == pytest.approx(19, abs=0.001)
    assert starts == sorted(starts)
    assert reader.get_start_time_sec() == pytest.approx(runs.BEGAN_AT)


def test_the_log_states_its_version_and_maxima_in_milliseconds():
    timer = Histogram.of([1_500_000])
    timers = {"a.response": timer, "none": Histogram()}
    points = [Point(t_s=1.5, span_s=1.0, at=1_000.0, timers=timers)]
    lines = list(hlog_lines(record_of(points)))
    assert lines[1] == "#[Histogram log format version 1.3]"
    assert lines[2].startswith("#[StartTime: 998.500 (seconds since epoch), Thu Jan 01")
    assert lines[3] == "#[BaseTime: 998.500 (seconds since epoch)]"
    [interval] = [line for line in lines if line.startswith("Tag=")]
    assert interval.startswith("Tag=a.response,0.500,1.000,1.500,HISTF")


def test_names_are_made_valid_and_distinct_tags_of_the_log():
    timers = {name: Histogram.of([5]) for name in ("GET /a,b", "GET /a b", "GET_/a_b")}
    lines = list(hlog_lines(record_of([Point(t_s=1.0, span_s=1.0, at=1e9, timers=timers)])))
    tags = [line.removeprefix("Tag=").split(",")[0] for line in lines if line.startswith("Tag=")]
    assert "GET_/a_b" in tags
    assert len({*tags}) == 3
    assert not any(" " in tag for tag in tags)


def test_the_docs_list_exactly_the_columns():
    page = (Path(__file__).parents[4] / "docs/export.md").read_text().split("## JSON")[0]
    documented = re.findall(r"^\| `([\w.]+)` \|", page, re.MULTILINE)
    [header] = csv.reader([next(csv_lines(record_of(runs.points(1))))])
    kinds = r"^(counters|gauges|timers|throttles|workers|nodes)\.(.+?)(?=\.\w+$|$)"
    told = [
        re.sub(kinds, r"\1.NAME", name if "gauges" not in name else "gauges.NAME")
        for name in header
    ]
    assert documented == list(dict.fromkeys(told))
