"""The setup of runs, also of those that another version of amoc has recorded."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from amoc.results.compare.setup import differences
from amoc.results.run_directory import RunDirectory
from amoc.results.saved_run import SavedRun, load
from tests.unit.results import runs

PLAN = {
    "users": [1, 11], "stages": {"text": "10s:5", "start": 1}, "duration_s": 5.0,
    "arrivals": {"rate": "2/s", "max_users": 3}, "rates": {"messages": "10/s"},
}  # fmt: skip


@pytest.fixture
def record(tmp_path: Path) -> SavedRun:
    return load(RunDirectory(runs.leave(tmp_path / "run", runs.points(3))))


def planned(record: SavedRun, plan: object, **summary: object) -> SavedRun:
    entry = {"kind": "run", "plan": plan, "scenario": {"sha256": "0123456789abcdef"}}
    found: Any = {**record.summary, **summary}
    return replace(record, journal=[entry], summary=found)


def test_each_part_of_a_plan_that_differs_is_named(record: SavedRun) -> None:
    found = differences(planned(record, PLAN), planned(record, {}))
    assert {(one.name, one.first, one.second) for one in found} == {
        ("users", "1 to 10", ""),
        ("stages", "10s:5", ""),
        ("arrival rate", "2/s", ""),
        ("max users", "3", ""),
        ("duration", "5 s", ""),
        ("throttle messages", "10/s", ""),
    }


@pytest.mark.parametrize("other", [None, True, -1.5, float("nan"), "x", [], ["a"], {}, {"a": 1}])
def test_runs_of_other_versions_can_be_compared(record: SavedRun, other: object) -> None:
    odd = [planned(record, other)]
    odd += [planned(record, {**PLAN, name: other}) for name in PLAN]
    odd += [planned(record, PLAN, **{name: other}) for name in ("workers", "settings", "versions")]
    for one in odd:
        differences(one, record)
