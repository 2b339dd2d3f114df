"""Runs in the server's directory that earlier versions have recorded, or whose journal is odd."""

from __future__ import annotations

import json
import os
import shutil
from pathlib import Path

import pytest

from amoc.service import sent_files
from amoc.service.config import ServiceConfig
from amoc.service.runs import Runs
from amoc.service.scenarios import Scenarios
from tests.process.support import ROOT

OLD_RUN = ROOT / "tests" / "unit" / "results" / "old_run"


@pytest.fixture
def run(tmp_path: Path) -> Path:
    return Path(shutil.copytree(OLD_RUN, tmp_path / "runs" / "20261125T020000-1a2b"))


@pytest.fixture
def uploads(tmp_path: Path) -> Path:
    return tmp_path / "uploads"


@pytest.fixture
def runs(run: Path, uploads: Path) -> Runs:
    return Runs(ServiceConfig(run.parent, uploads, uploads), Scenarios(uploads, uploads))


def test_sent_files_are_deleted_where_a_run_names_its_scenario_as_text(
    runs: Runs, run: Path, uploads: Path
) -> None:
    assert json.loads((run / "journal.jsonl").read_text().splitlines()[0])["scenario"] == "chat.py"
    unused = uploads / sent_files.NAME / "00ff"
    unused.mkdir(parents=True)
    os.utime(unused, (0, 0))
    runs.tidy()
    assert not unused.exists()


@pytest.mark.parametrize("plan", [None, "local:1", ["local:1"], 1])
def test_a_run_whose_plan_is_no_object_is_listed(runs: Runs, run: Path, plan: object) -> None:
    (run / "summary.json").unlink()
    entry = {"kind": "run", "id": run.name, "scenario": None, "plan": plan}
    (run / "journal.jsonl").write_text(json.dumps(entry) + "\n")
    assert [one.name for one in runs.newest(5)] == [run.name]
    assert runs.get(run.name).comment == ""
