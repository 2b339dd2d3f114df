"""The programs of benchmarks/ run, on a small scale, and fail when a user raised."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from benchmarks.__main__ import Program, programs

pytestmark = [pytest.mark.once, pytest.mark.slow]
ROOT = Path(__file__).parents[2]


def python(*arguments: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, *arguments]
    return subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=150)


@pytest.mark.parametrize("program", programs(), ids=lambda one: one.name)
def test_every_program_runs_and_finds_figures(program: Program, tmp_path: Path) -> None:
    if not program.runs_here() or (
        program.missing() and not os.environ.get("AMOC_REQUIRE_SERVERS")
    ):
        pytest.skip(program.missing())
    kept = tmp_path / "result.json"
    done = python("-m", "benchmarks", "run", program.name, "--short", "--json", str(kept))
    assert done.returncode == 0, done.stdout + done.stderr
    result = json.loads(kept.read_text())
    found = result["programs"][program.name]
    assert found["arguments"] == program.short
    assert found["figures"]
    assert all(one["unit"] and one["values"] for one in found["figures"].values())
    assert result["machine"]["cores"]


@pytest.mark.skipif(not shutil.which("tsung"), reason="Tsung is not installed")
def test_tsung_takes_part() -> None:
    arguments = ("--users", "4", "--rate", "40", "--seconds", "1", "--only", "amoc,tsung")
    done = python("-m", "benchmarks.xmpp", *arguments)
    assert done.returncode in (0, 3), done.stdout + done.stderr
    assert "Tsung" in done.stdout


CRASHING = """
import sys
from pathlib import Path
from benchmarks import outcome
from benchmarks.amoc_run import amoc_run

with amoc_run(Path(sys.argv[1]), 2, 1, {"repeat_num": 1}) as run:
    assert run.finish()["users"]["crashed"] == 1
sys.exit(outcome.exit_code())
"""


def test_a_program_fails_when_a_user_raised(tmp_path: Path) -> None:
    scenario = tmp_path / "crashing.py"
    scenario.write_text("def start(user_id):\n    assert user_id == 1\n")
    done = python("-c", CRASHING, str(scenario))
    assert done.returncode == 1, done.stdout + done.stderr
    assert "FAILED: users crashed: 1" in done.stdout
