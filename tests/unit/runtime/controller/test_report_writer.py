"""The report of a long run is made by a child process, which is not awaited forever."""

from __future__ import annotations

import os
import signal
from pathlib import Path

import pytest

from amoc.base.errors import ResourceError
from amoc.results.run_directory import RunDirectory
from amoc.runtime.controller import report_writer
from tests.unit.results import runs


@pytest.fixture
def long(monkeypatch):
    """Treat any run as a long one."""
    monkeypatch.setattr(report_writer, "SMALL_BYTES", -1)


@pytest.fixture
def endless(tmp_path, long):
    """A run whose series is a pipe without a writer, so reading it never ends."""
    runs.leave(tmp_path, [], runs.journal())
    directory = RunDirectory(tmp_path)
    directory.series.unlink()
    os.mkfifo(directory.series)
    return directory


def children() -> list[int]:
    pid = os.getpid()
    return [int(one) for one in Path(f"/proc/{pid}/task/{pid}/children").read_text().split()]


def test_the_report_of_a_short_run_needs_no_child_process(tmp_path, monkeypatch):
    monkeypatch.setattr(report_writer, "ChildProcess", None)
    runs.leave(tmp_path, runs.points(3))
    report_writer.write(RunDirectory(tmp_path), pytest.fail)
    assert (tmp_path / "report.html").read_text().startswith("<!doctype html>")


@pytest.mark.slow
def test_the_report_of_a_long_run_is_the_same(tmp_path, monkeypatch):
    directory = RunDirectory(runs.leave(tmp_path, runs.points(30)))
    report_writer.write(directory, pytest.fail)
    made = directory.report.read_text()
    directory.report.unlink()
    monkeypatch.setattr(report_writer, "SMALL_BYTES", 0)
    monkeypatch.setattr(report_writer, "NOTIFY_AFTER_S", float("inf"))
    report_writer.write(directory, pytest.fail)
    assert directory.report.read_text() == made


@pytest.mark.slow
@pytest.mark.parametrize("signum", [signal.SIGINT, signal.SIGTERM])
def test_an_interrupt_skips_the_report_and_says_how_to_write_it(endless, monkeypatch, signum):
    monkeypatch.setattr(report_writer, "NOTIFY_AFTER_S", 0.0)
    said: list[str] = []

    def say(text: str) -> None:
        said.append(text)
        if len(said) == 1:
            os.kill(os.getpid(), signum)

    handler, there = signal.getsignal(signum), children()
    report_writer.write(endless, say)
    assert said == [
        "writing the report takes a while; Ctrl-C skips it",
        f"the report was skipped; to write it: amoc report {endless.path}",
    ]
    assert not endless.report.exists()
    assert signal.getsignal(signum) == handler
    assert children() == there


@pytest.mark.slow
def test_a_report_that_takes_too_long_is_skipped(endless, monkeypatch):
    monkeypatch.setattr(report_writer, "MAX_S", 0.0)
    said: list[str] = []
    there = children()
    report_writer.write(endless, said.append)
    assert len(said) == 1
    assert said[0].endswith(f"and was skipped; to write it: amoc report {endless.path}")
    assert children() == there


@pytest.mark.slow
def test_a_report_that_cannot_be_written_says_why(tmp_path, long):
    runs.leave(tmp_path, runs.points(3))
    (tmp_path / "report.html").mkdir()
    with pytest.raises(
        ResourceError, match=r"report\.html cannot be written: .*; to write it: amoc "
    ):
        report_writer.write(RunDirectory(tmp_path), lambda _: None)
