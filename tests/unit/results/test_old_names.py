"""A run directory of version 0.1.0, from before workers and CPU wait had their current names."""

from __future__ import annotations

from pathlib import Path

import pytest

from amoc.results import old_names
from amoc.results.compare import page as compare_page
from amoc.results.compare.comparison import compare
from amoc.results.export.tables import FORMATS
from amoc.results.old_names import renamed
from amoc.results.report import page
from amoc.results.run_directory import RunDirectory
from amoc.results.saved_run import load

OLD = Path(__file__).parent / "old_run"


@pytest.fixture(params=["with a summary", "rebuilt"])
def old(request, tmp_path):
    """The old run with its own summary, or with one rebuilt from its series and journal."""
    for path in OLD.iterdir():
        if request.param != "rebuilt" or path.name != "summary.json":
            (tmp_path / path.name).write_bytes(path.read_bytes())
    told: list[str] = []
    found = load(RunDirectory(tmp_path), told.append)
    rebuilt = request.param == "rebuilt"
    assert told == (["summary.json is missing, so it was rebuilt"] if rebuilt else [])
    return found


def test_seconds_of_an_old_run_have_the_values_of_each_worker(old):
    point = next(iter(old.points))
    assert [(one.worker, one.incarnation) for one in point.workers] == [(0, 1), (1, 1)]
    assert {one.cpu_wait_s for one in point.workers} == {0.01}
    assert {(one.users, one.cpu > 0, one.rss_bytes) for one in point.workers} == {
        (5, True, 40 << 20)
    }
    assert [one["worker"] for one in old.summary["workers"]] == [0, 1]


def test_an_old_run_can_be_reported(old):
    html = page.render(old)
    assert "worker 1 of node0" in html
    assert "CPU wait" in html


@pytest.mark.parametrize("form", FORMATS)
def test_an_old_run_can_be_exported(old, form):
    text = "\n".join(FORMATS[form](old))
    assert "message_ttd" in text
    assert ("cpu_wait_s" in text) is (form != "hlog")


def test_an_old_run_can_be_compared(old):
    found = compare(old, old)
    assert found.generator
    assert "message_ttd" in compare_page.render(found)


def test_expectations_of_old_runs_are_read_as_thresholds():
    found = old_names.summary(
        {
            "run": {"verdict": "failed expectations", "id": "x"},
            "expectations": [1],
            "workers": [{"slot": 3}],
        }
    )
    assert found == {
        "run": {"verdict": "failed thresholds", "id": "x"},
        "thresholds": [1],
        "workers": [{"worker": 3}],
    }
    entry = old_names.journal_entry(
        {
            "kind": "run",
            "plan": {"expectations": ["crashes == 0"], "seed": 7},
            "expectations": ["a > 1"],
            "settings": {
                "rate": {"value": "5", "from": "--set", "description": "how fast", "module": "m"},
                "password": "(hidden)",
            },
        }
    )
    assert entry["plan"] == {"thresholds": ["crashes == 0"], "seed": 7}
    assert entry["thresholds"] == ["a > 1"]
    assert entry["settings"] == [
        {"name": "rate", "value": "5", "source": "--set", "description": "how fast", "module": "m"},
        {"name": "password", "value": "(hidden)", "source": "", "description": "", "module": ""},
    ]
    end = old_names.journal_entry({"kind": "end", "verdict": "failed expectations"})
    assert end["verdict"] == "failed thresholds"


def test_current_names_are_left_unchanged():
    assert renamed({"worker": 1, "queued_s": 2.0}) == {"worker": 1, "cpu_wait_s": 2.0}
