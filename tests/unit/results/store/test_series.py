"""Seconds are read back from their file as written, and damage to the file is reported."""

from __future__ import annotations

import subprocess
import sys
from dataclasses import replace
from itertools import pairwise
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from amoc.metrics.histogram import Histogram
from amoc.metrics.workers_together import Together
from amoc.results.counts import joined
from amoc.results.report.rows import row_of
from amoc.results.series import Point, Tally
from amoc.results.store import records, second
from amoc.results.store.reader import StoredSeries, stretches
from amoc.results.store.writer import SeriesWriter
from amoc.results.stretch import seconds_of
from tests.unit.results import runs

ROOT = Path(__file__).parents[4]
POINTS = runs.points(150, stall=range(70, 75))


def written(path: Path, points: list[Point]) -> list[bytes]:
    """Write a file with these seconds; return its records."""
    writer = SeriesWriter(path)
    ends = [0]
    for point in points:
        writer.write(point)
        ends.append(path.stat().st_size)
    writer.close()
    data = path.read_bytes()
    return [data[begin:end] for begin, end in pairwise(ends)]


def in_minutes(path: Path, fine=lambda _: False) -> list[Point]:
    return list(stretches(StoredSeries(path), fine))


@pytest.fixture(scope="module")
def parts(tmp_path_factory) -> list[bytes]:
    """The bytes appended for each second of a short run."""
    return written(tmp_path_factory.mktemp("short") / "series.amoc", POINTS[52:60])


@pytest.fixture(scope="module")
def two_minutes(tmp_path_factory) -> bytes:
    """A file with the end of a minute, its block, and the beginning of the next one."""
    return b"".join(written(tmp_path_factory.mktemp("two") / "series.amoc", POINTS[55:63]))


def test_seconds_round_trip(tmp_path):
    written(path := tmp_path / "series.amoc", POINTS)
    series = StoredSeries(path)
    for _ in range(2):
        assert list(series) == POINTS
    assert (len(series), series.problems) == (150, [])
    assert POINTS[70] in series
    assert replace(POINTS[0], t_s=7.5) not in series


def test_names_may_have_any_characters(tmp_path):
    evil = 'a "cells":[1,2], b\\\n'
    timers = {evil: Histogram({0: 1, 300: 2}, 7), "": Histogram({5: 10**12}, 9)}
    timers["none"] = Histogram()
    point = Point(1.0, 1.0, timers=timers, crashes={evil: 1}, workers=[], nodes=[])
    written(path := tmp_path / "series.amoc", [point])
    assert list(StoredSeries(path)) == [point]


def test_a_series_of_many_timers_is_written_in_pieces(tmp_path):
    timers = {f"t{n}": Histogram({n: 1, n + 7: 2}, 9) for n in range(2_000)}
    point = Point(1.0, 1.0, timers=timers, workers=[], nodes=[])
    writer = SeriesWriter(tmp_path / "series.amoc")
    pieces = writer.pieces(point)
    assert next(pieces, "over") is None
    assert len(StoredSeries(tmp_path / "series.amoc")) == 0
    assert len(list(pieces)) >= 6
    assert list(StoredSeries(tmp_path / "series.amoc")) == [point]


def test_seconds_appended_later_are_not_read(tmp_path):
    path = tmp_path / "series.amoc"
    writer = SeriesWriter(path)
    writer.write(POINTS[0])
    series = StoredSeries(path)
    writer.write(POINTS[1])
    assert list(series) == POINTS[:1]
    assert list(StoredSeries(path)) == POINTS[:2]


WRITER = """
import sys
from pathlib import Path
from amoc.results.store.writer import SeriesWriter
from tests.unit.results import runs

writer = SeriesWriter(Path(sys.argv[1]))
for number, point in enumerate(runs.points(100), 1):
    writer.write(point)
    print(number, flush=True)
"""


@pytest.mark.slow
@pytest.mark.parametrize("after", [1, 7, 59, 61])
def test_a_killed_writer_loses_no_written_second(tmp_path, after):
    path, points = tmp_path / "series.amoc", runs.points(100)
    command = [sys.executable, "-c", WRITER, str(path)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True, cwd=ROOT) as process:
        assert process.stdout is not None
        for line in process.stdout:
            if int(line) == after:
                process.kill()
                break
    series = StoredSeries(path)
    assert series.problems == []
    assert after <= len(series) <= 100
    assert list(series) == points[: len(series)]
    assert Tally.of(in_minutes(path)).counters == Tally.of(series).counters


@pytest.mark.parametrize(
    ("alter", "kept", "problems"),
    [
        (lambda a: a[:1] + a[2:], [0, 2, 3, 4, 5, 6, 7], ["record 2 is missing"]),
        (lambda a: a[:3], [0, 1, 2], ["5 records are missing, the first is record 4"]),
        (lambda _: [], [], ["8 records are missing, the first is record 1"]),
        (lambda a: a[:2] + a[1:], range(8), ["record 2 is repeated"]),
        (lambda a: [a[0], a[2], a[1], *a[3:]], [0, 2, 3, 4, 5, 6, 7], ["record 2 is out of order"]),
        (lambda a: [a[0], a[1][:40], *a[2:]], [0, 2, 3, 4, 5, 6, 7], ["record 2 is damaged"]),
        (lambda a: [a[0], b"\0" * 99, *a[1:]], range(8), ["record 2 is damaged"]),
        (lambda a: [*a[:7], a[7][:40]], range(7), ["record 8 is missing"]),
        (lambda a: [*a, b'{"t_s":1}\n'], range(8), ["record 9 is damaged"]),
        # The first of a minute is needed to read the others.
        (lambda a: [a[0][:-1] + b"?", *a[1:]], [], ["8 records are damaged, the first is"]),
    ],
)
def test_damage_to_a_file_is_reported(tmp_path, parts, alter, kept, problems):
    path = tmp_path / "series.amoc"
    path.write_bytes(b"".join(alter(parts)))
    series = StoredSeries(path, 8)
    assert [round(point.t_s) - 53 for point in series] == list(kept)
    assert len(series.problems) == len(problems)
    assert all(map(str.startswith, series.problems, problems))


def test_a_torn_last_second_of_a_killed_writer_is_not_a_problem(tmp_path, parts):
    path = tmp_path / "series.amoc"
    for cut in range(1, len(parts[-1])):
        path.write_bytes(b"".join(parts)[:-cut])
        series = StoredSeries(path)
        assert (len(series), series.problems) == (7, [])


@settings(max_examples=300)
@given(st.integers(min_value=0), st.integers(1, 255))
def test_any_changed_byte_is_detected(two_minutes, tmp_path_factory, where, by):
    data = bytearray(two_minutes)
    data[where % len(data)] ^= by
    path = tmp_path_factory.mktemp("changed") / "series.amoc"
    path.write_bytes(data)
    series = StoredSeries(path, 9)
    assert series.problems
    assert all(point in POINTS for point in series)


# Minutes


MANY = [
    replace(point, together=(Together("node0", 32, worker, replace(worker, cpu=worker.cpu + 0.1)),))
    for point in POINTS
    for worker in point.workers[:1]
]
"""The same of a run with many workers."""


@pytest.mark.parametrize("points", [POINTS, MANY], ids=["few", "many"])
def test_a_minute_equals_the_merge_of_its_seconds(tmp_path, points):
    written(path := tmp_path / "series.amoc", points)
    assert list(StoredSeries(path)) == points
    one, two, *rest = in_minutes(path)
    assert (one.seconds, two.seconds, len(rest)) == (60, 60, 30)
    for found, some in ((one, points[:60]), (two, points[60:120])):
        whole = joined(some)
        assert {name: getattr(found, name) for name in vars(whole)} == vars(whole)
        assert (found.begin_s, found.t_s) == (some[0].begin_s, some[-1].t_s)
        row, again = (row_of(1.0, kind, True, ["message_ttd"]) for kind in (some, [found]))
        assert again.highest == row.highest
        assert (again.seconds, again.workers_cpu) == (60, row.workers_cpu)
        assert again.durations == row.durations
        running = [point.users["running"] for point in some]
        assert found.levels["users", "running", "mean"] == (sum(running), 60)
        assert found.levels["CPU", "host node0", "mean"] == (pytest.approx(60 * 0.4), 60)
    assert rest == points[120:]


def test_a_minute_can_be_read_second_by_second_on_request(tmp_path):
    written(path := tmp_path / "series.amoc", POINTS)
    found = in_minutes(path, lambda one: one.begin_s == 0)
    assert [seconds_of(one) for one in found] == [1] * 60 + [60] + [1] * 30
    assert found[:60] == POINTS[:60]
    assert list(stretches(POINTS)) == POINTS


@pytest.mark.parametrize(
    "change", [{"state": "paused"}, {"active_s": 0.5}, {"late": ["node0"]}, {"span_s": 0.5}]
)
def test_a_minute_with_an_irregular_second_is_read_second_by_second(tmp_path, change):
    points = [*POINTS[:80], replace(POINTS[80], **change), *POINTS[81:]]
    written(path := tmp_path / "series.amoc", points)
    assert list(StoredSeries(path)) == points
    assert [seconds_of(one) for one in in_minutes(path)] == [60] + [1] * 90


def test_a_minute_with_a_gauge_too_large_to_sum_is_read_second_by_second(tmp_path):
    huge = [replace(point, gauges={"limit": sys.float_info.max}) for point in POINTS[:60]]
    points = [*huge, *POINTS[60:]]
    written(path := tmp_path / "series.amoc", points)
    assert list(StoredSeries(path)) == points
    assert [seconds_of(one) for one in in_minutes(path)] == [1] * 60 + [60] + [1] * 30


@pytest.mark.parametrize("place", [0, 30, 59])
def test_a_minute_with_a_damaged_second_is_not_used(tmp_path, place):
    records_ = written(path := tmp_path / "series.amoc", POINTS)
    records_[place] = records_[place][:-1] + b"?"
    path.write_bytes(b"".join(records_))
    found = in_minutes(path)
    assert [one.t_s for one in found if seconds_of(one) == 60] == [120.0]
    assert StoredSeries(path).problems


def test_a_damaged_minute_is_reported_and_loses_no_second(tmp_path):
    written(path := tmp_path / "series.amoc", POINTS)
    data = path.read_bytes()
    with path.open("rb") as file:
        found = [one for one in records.read(file, len(data)) if one and one.kind == second.BLOCK]
    assert len(found) == 2
    at = found[0].at + 50
    path.write_bytes(data[:at] + bytes([data[at] ^ 1]) + data[at + 1 :])
    series = StoredSeries(path)
    assert series.problems == ["record 61 is damaged"]
    assert list(series) == POINTS
    assert [seconds_of(one) for one in in_minutes(path)] == [1] * 60 + [60] + [1] * 30


def test_a_record_marker_inside_a_body_does_not_start_a_record(tmp_path):
    inner = records.sealed(1, 2, b"not this")
    path = tmp_path / "file"
    path.write_bytes(records.sealed(1, 1, b"x" + inner) + records.sealed(1, 2, b"this"))
    with path.open("rb") as file:
        found = list(records.read(file, path.stat().st_size))
    assert [one and one.body[-4:] for one in found] == [inner[-4:], b"this"]


@pytest.mark.parametrize("size", [0, 1, 200, 249, 250, 251, 700, 3_900, 40_000])
@pytest.mark.parametrize("known", [0, 700, 40_000])
def test_facts_of_any_size_round_trip(size: int, known: int) -> None:
    facts = bytes(at * at % 251 for at in range(size))
    dictionary = bytes(at * at % 241 for at in range(known))
    assert second.read_facts(second.body(facts, 1, dictionary, b""), dictionary) == facts
