"""A run whose load generator is too slow does not blame the target, and names the line at fault."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from amoc.base.errors import ExitCode
from tests.process.support import Run, running

pytestmark = pytest.mark.slow

BLOCKING = """
    import ctypes
    from amoc import sleep, user

    libc = ctypes.PyDLL(None)  # its calls hold the GIL

    def fetch():
        libc.usleep(400_000)  # blocks

    def start(user_id):
        while not user.stopping:
            if user_id == 1:
                fetch()
            sleep(0.2)
"""
HOG = """
    from amoc import sleep, user

    def start(user_id):
        while not user.stopping:
            sum(range(50_000))
            sleep(0)
"""
HEALTHY = """
    from amoc import metrics, sleep, throttle, user

    def init():
        throttle.start("turns", rate=100, interval=1)

    def start(user_id):
        while not user.stopping:
            throttle.wait("turns")
            with metrics.timer("turn").time():
                sleep(0.01)
"""
HANGING = """
    import ctypes
    from amoc import sleep

    libc = ctypes.PyDLL(None)

    def start(user_id):
        sleep(0.5)
        if user_id == 1:
            libc.pause()  # blocks
        sleep(60)
"""


def line_of(source: str) -> int:
    """Return the number of the line that blocks, in the file that the fixture writes."""
    (number,) = [n for n, line in enumerate(source.splitlines(), 1) if line.endswith("# blocks")]
    return number


def findings(run: Run) -> set[str]:
    return {one["what"] for one in run.summary()["health"]["findings"]}


def journal(run: Run, kind: str) -> list[dict[str, Any]]:
    lines = (run.directory / "journal.jsonl").read_text().splitlines()
    return [entry for entry in map(json.loads, lines) if entry["kind"] == kind]


def test_a_blocking_call_is_reported_with_its_line_and_limits_the_run(
    scenario: Callable[[str], Path], tmp_path: Path
) -> None:
    file = scenario(BLOCKING)
    place = f"{file.name}:{line_of(file.read_text())} in fetch"
    options = ("--users", "5", "--workers", "1", "--duration", "7s")
    with running(file, *options, directory=tmp_path, may_be_limited=False) as run:
        assert run.end() == ExitCode.GENERATOR_LIMITED, run.output
        summary = run.summary()
        assert summary["run"]["verdict"] == "generator-limited"
        assert "loop lag" in findings(run)
        (blocked,) = [one for one in summary["blocked"] if one["place"] == place]
        assert blocked["times"] > 5
        assert blocked["longest_s"] >= 0.3
        assert blocked["total_s"] >= blocked["times"] * 0.1
        assert "libc.usleep(400_000)" in blocked["trace"]
        told = [one for one in journal(run, "blocked") if one["place"] == place]
        assert sum(one["times"] for one in told) == blocked["times"]
        assert [bool(one["trace"]) for one in told] == [True] + [False] * (len(told) - 1)
        assert place in run.output


def test_users_that_saturate_a_core_limit_the_run(
    scenario: Callable[[str], Path], tmp_path: Path
) -> None:
    file = scenario(HOG)
    # A finding takes five seconds past the limit, and shares average several seconds: in a run
    # of nine, a single second in which the host took the CPU away was too many.
    options = ("--users", "10", "--workers", "1", "--duration", "16s")
    with running(file, *options, directory=tmp_path, may_be_limited=False) as run:
        assert run.end() == ExitCode.GENERATOR_LIMITED, run.output
        assert findings(run) & {"cpu", "saturation"}
        assert any("worker 0" in reason for reason in run.summary()["run"]["reasons"])


def test_a_healthy_run_is_not_limited(scenario: Callable[[str], Path], tmp_path: Path) -> None:
    file = scenario(HEALTHY)
    options = ("--users", "20", "--workers", "2", "--duration", "6s")
    with running(file, *options, directory=tmp_path, may_be_limited=False) as run:
        code = run.end()
        if "cpu wait" in findings(run):
            pytest.skip("this machine has other things to do")
        assert code == ExitCode.OK, run.output
        assert run.summary()["health"] == {"limited": False, "findings": []}
        assert run.summary()["blocked"] == []


def test_a_hanging_worker_is_reported_with_its_line_while_it_hangs(
    scenario: Callable[[str], Path], tmp_path: Path
) -> None:
    file = scenario(HANGING)
    place = f"{file.name}:{line_of(file.read_text())} in start"
    with running(file, "--users", "2", "--workers", "1", directory=tmp_path) as run:
        run.wait_for_output(f"event loop has not run for 5 s: it is stuck in {place}")
        (worker,) = run.find("worker")
        run.kill(worker)  # it cannot report any more
        run.wait_for_output(f"at {place}")
        assert [one["place"] for one in journal(run, "blocked")] == [place]
