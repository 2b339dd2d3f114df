"""Thresholds decide a run's verdict, its exit code and its JUnit report."""

from __future__ import annotations

import re
from xml.etree import ElementTree as ET

import pytest

from amoc.base.errors import ExitCode
from tests.process.support import running

pytestmark = pytest.mark.slow

TURNING = """
    import amoc
    from amoc import metrics, sleep, user

    amoc.expect("crashes == 0")

    turns = metrics.counter("turns")
    errors = metrics.counter("errors")
    turn = metrics.timer("turn")

    def start(user_id):
        while not user.stopping:
            with turn.time():
                sleep(0.01)
            turns.inc()
    """
OFTEN = ("--users", "4", "--workers", "2", "--set", "user_rate=infinity", "--set", "repeat_num=1")


def expecting(*texts: str) -> list[str]:
    return [word for text in texts for word in ("--expect", text)]


def cases(run) -> dict[str, str]:
    """Return the outcome of each case in the JUnit report, by name."""
    found = ET.parse(run.directory / "junit.xml").getroot().iter("testcase")
    return {case.attrib["name"]: case[0].tag if len(case) else "passed" for case in found}


def test_thresholds_are_checked_across_all_workers(scenario, tmp_path):
    met = expecting("errors == 0", "errors / turns < 1%", "turns > 10", "turn.count > 10")
    unmet = expecting("turn.p50 < 5ms", "turn.p99 < 1min", "unheard == 0")
    words = (*OFTEN, "--duration", "3s", "--warmup", "1s", "--limited-ok", *met, *unmet)
    with running(scenario(TURNING), *words, directory=tmp_path) as run:
        assert run.end() == ExitCode.THRESHOLD, run.output
        summary = run.summary()
        read = cases(run)
    outcomes = {one["expression"]: one["passed"] for one in summary["thresholds"]}
    assert outcomes == {
        **dict.fromkeys(met[1::2], True),
        "turn.p50 < 5ms": False,
        "turn.p99 < 1min": True,
        "unheard == 0": False,
        "crashes == 0": True,
    }
    assert summary["run"]["verdict"] == "failed thresholds"
    slow, unheard = summary["run"]["reasons"]
    assert slow.startswith("turn.p50 must be < 5ms, got ")
    assert unheard == "unheard must be == 0, but there was no metric unheard (from --expect)"
    # The window is the rest of the run after its warm-up.
    turns = {one["expression"]: one["value"] for one in summary["thresholds"]}["turns > 10"]
    assert turns == summary["window"]["counters"]["turns"] < summary["counters"]["turns"]
    failed = {name for name, outcome in read.items() if outcome == "failure"}
    assert failed == {"turn.p50 < 5ms", "unheard == 0"}
    assert read["crashes == 0"] == "passed"
    assert re.search(r"unheard == 0 +no sample +failed", run.output), run.output


def test_a_senseless_threshold_in_a_scenario_is_a_scenario_error(scenario, tmp_path):
    with running(scenario(TURNING.replace("== 0", "< 0")), directory=tmp_path) as run:
        assert run.end() == ExitCode.SCENARIO, run.output
        assert "crashes is never below 0, so this passes in no run (from trial.py:5)" in run.output
