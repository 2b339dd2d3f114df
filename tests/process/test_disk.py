"""A full disk or a deleted run directory does not end a run, but makes it incomplete."""

from __future__ import annotations

import contextlib
import json
import shutil
import signal
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from amoc.base.errors import ExitCode
from amoc.results.run_directory import RunDirectory
from tests.preloaded import amoc
from tests.process.support import ROOT, Run, eventually, running

COUNTING = """
    from amoc import metrics, user
    def start(user_id):
        while not user.wait_stopping(0.02):
            metrics.counter("n").inc()
    """
AT_ONCE = ("--users", "3", "--duration", "1h", "--set", "interarrival=0")


@pytest.fixture
def tiny(tmp_path) -> Iterator[Path]:
    """A file system of one megabyte."""
    path = tmp_path / "tiny"
    path.mkdir()
    done = subprocess.run(
        ["mount", "-t", "tmpfs", "-o", "size=1m", "none", str(path)], capture_output=True
    )
    if done.returncode:
        pytest.skip(f"a file system of its own cannot be mounted here: {done.stderr.decode()}")
    yield path
    subprocess.run(["umount", "--lazy", str(path)], check=True)


def fill(directory: Path) -> Path:
    """Write a file that takes all the remaining space."""
    filler = directory / "filler"
    with filler.open("wb", buffering=0) as file, contextlib.suppress(OSError):
        while True:
            file.write(bytes(4096))
    return filler


def stop(run: Run) -> int:
    run.kill(run.pid, signal.SIGINT)
    return run.end()


def report(run: Run) -> subprocess.CompletedProcess[str]:
    return amoc("report", str(run.directory), cwd=ROOT)


def test_a_run_whose_directory_is_deleted_continues_and_is_incomplete(scenario, tmp_path):
    with running(scenario(COUNTING), *AT_ONCE, directory=tmp_path) as run:
        eventually(lambda: len(run.seconds()) >= 2, "some seconds are written")
        shutil.rmtree(run.directory)
        run.wait_for_output("series.amoc cannot be written: it was deleted during the run")
        assert stop(run) == ExitCode.INCOMPLETE, run.output
        told, counted = run.summary()["run"], run.summary()["counters"]["n"]
    assert (told["verdict"], told["exit_code"]) == ("incomplete", ExitCode.INCOMPLETE)
    assert "series.amoc: it was deleted during the run" in told["reasons"]
    assert "journal.jsonl: it was deleted during the run" in told["reasons"]
    assert "summary.json could not be written" in told["reasons"]
    assert "without that, the verdict would be: stopped" in told["reasons"]
    assert counted > 100
    assert "Traceback" not in run.output


def test_a_full_disk_does_not_end_a_run_but_makes_it_incomplete(scenario, tmp_path, tiny):
    with running(
        scenario(COUNTING), *AT_ONCE, directory=tmp_path, run_directory=tiny / "run"
    ) as run:
        eventually(lambda: len(run.seconds()) >= 2, "some seconds are written")
        fill(tiny)
        run.wait_for_output("series.amoc cannot be written: ")
        assert stop(run) == ExitCode.INCOMPLETE, run.output
        told = run.summary()["run"]
    assert told["verdict"] == "incomplete"
    assert any("could not be written: " in one for one in told["reasons"])
    assert "summary.json could not be written" in told["reasons"]
    assert "summary.json cannot be written: No space left on device" in run.output
    assert "Traceback" not in run.output


def test_seconds_lost_to_a_full_disk_leave_the_run_incomplete(scenario, tmp_path, tiny):
    with running(
        scenario(COUNTING), *AT_ONCE, directory=tmp_path, run_directory=tiny / "run"
    ) as run:
        eventually(lambda: len(run.seconds()) >= 2, "some seconds are written")
        filler = fill(tiny)
        run.wait_for_output("series.amoc cannot be written: ")
        filler.unlink()
        there = len(run.seconds())
        eventually(lambda: len(run.seconds()) >= there + 2, "seconds are written again")
        assert stop(run) == ExitCode.INCOMPLETE, run.output
        left = json.loads(RunDirectory(run.directory).summary.read_text())
        assert left["run"] == run.summary()["run"]
        again = report(run)
    assert left["run"]["verdict"] == "incomplete"
    assert again.returncode == ExitCode.INCOMPLETE
    assert "series.amoc: " in again.stderr
