"""The list of runs, and the names by which a run can be referred to."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from amoc.base.errors import UsageError
from amoc.metrics.step_names import AGGREGATED
from amoc.results import run_directory, run_list, summary_file
from amoc.results.run_directory import locate
from amoc.results.summary import rebuild
from tests.unit.results import runs
from tests.unit.results.test_steps import RUN

_FIRST = "20260101T000000-shop"
NAMES = (_FIRST, f"{_FIRST}-2", f"{_FIRST}-10", "20260102T0-x")


@pytest.fixture
def base(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    for name in NAMES:
        directory = Path(run_directory.BASE) / name
        runs.leave(directory, runs.points(3))
    (tmp_path / run_directory.BASE / "99999-no-run").mkdir()
    return tmp_path


@pytest.mark.parametrize(
    ("name", "found"),
    [
        ("last", NAMES[3]),
        ("last~0", NAMES[3]),
        ("last~1", NAMES[2]),
        ("last~2", NAMES[1]),
        ("last~3", NAMES[0]),
        ("20260102", NAMES[3]),
        (NAMES[0], NAMES[0]),  # also a prefix of others
    ],
)
def test_a_run_is_found_by_its_age_or_a_prefix_of_its_name(base, name, found):
    assert locate(name).id == found


@pytest.mark.parametrize(
    "name", ["last~4", "last~", "last~x", "lasting", "20260101", "", "x" * 5_000, "x\0"]
)
def test_a_name_that_matches_no_run_or_several_is_rejected(base, name):
    with pytest.raises(UsageError, match="RUN_DIR"):
        locate(name, what="RUN_DIR")


def test_a_directory_named_last_takes_precedence(base):
    Path("last").mkdir()
    assert locate("last").path == Path("last")


def test_the_list_shows_the_outcome_of_each_run(base):
    directory = run_directory.RunDirectory(Path(run_directory.BASE) / NAMES[3])
    summary = rebuild("", str(directory.path), runs.journal(4), RUN, running=False)
    summary_file.write(summary, directory.summary)
    first, *others = run_list.newest(3)
    assert (first.name, first.requests, first.failures) == (NAMES[3], 19, 7)
    assert first.verdict == summary["run"]["verdict"]
    assert [one.name for one in others] == [NAMES[2], NAMES[1]]
    assert {(one.verdict, one.requests) for one in others} == {("killed", None)}
    assert run_list.cells(first)[5:7] == ["19", "7 (36.8 %)"]
    assert len(run_list.cells(others[0])) == len(run_list.HEADS)
    json.dumps([one.to_json() for one in (first, *others)])
    assert [one.name for one in run_list.newest(99)] == [
        *reversed(NAMES)
    ]  # and no other directories


@pytest.mark.parametrize("other", [None, True, -1.5, 10**400, "x", [], ["a"], {}, {"a": 1}])
def test_a_run_with_an_odd_summary_does_not_prevent_the_list(base, other):
    directory = run_directory.RunDirectory(Path(run_directory.BASE) / NAMES[3])
    whole = rebuild("", str(directory.path), runs.journal(4), RUN, running=False)
    of_run = [{**whole, "run": {**whole["run"], name: other}} for name in whole["run"]]
    of_steps = [{**whole["steps"][AGGREGATED], name: other} for name in ("count", "times")]
    odd = [
        *({**whole, name: other} for name in whole),
        *(one for one in of_run if isinstance(one["run"]["verdict"], str)),
        *({**whole, "steps": {AGGREGATED: one}} for one in of_steps),
    ]
    for number, summary in enumerate(odd):
        directory.summary.write_text(json.dumps(summary) + " " * number)  # not cached by size
        assert run_list.newest(1)[0].name == NAMES[3]
        run_list.cells(run_list.newest(1)[0])


def test_without_runs_the_list_is_empty(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert run_list.newest(9) == []
