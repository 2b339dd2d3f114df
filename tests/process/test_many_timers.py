"""Hundreds of timers: no sample is lost, and only the processes that add them up load NumPy."""

from __future__ import annotations

import signal
from pathlib import Path

import pytest

from tests.process.support import Run, eventually, running

pytestmark = pytest.mark.slow

TIMERS, DURATIONS = 400, 12
RECORDING = f"""
    import os
    from amoc import metrics, user

    done = os.open(f"{{HERE}}/done", os.O_WRONLY | os.O_APPEND | os.O_CREAT)

    def start(user_id):
        counter = metrics.counter("rounds")
        timers = [metrics.timer(f"t{{number}}") for number in range({TIMERS})]
        while not user.wait_leaving(0.3):
            for timer in timers:
                for _ in range({DURATIONS}):
                    timer.record(user.random.lognormvariate(-5, 1))
            counter.inc()
            os.write(done, b"x")
"""


def has_numpy(pid: int) -> bool:
    return "_multiarray_umath" in Path(f"/proc/{pid}/maps").read_text()


def rounds(run: Run) -> int:
    """Return the number of rounds that users have logged."""
    file = run.json.parent / "done"
    return file.stat().st_size if file.exists() else 0


def test_totals_are_exact_although_the_node_was_stopped_when_the_run_ended(scenario, tmp_path):
    arguments = ("--users", "2", "--workers", "2", "--set", "user_rate=infinity", "--limited-ok")
    with running(scenario(RECORDING), *arguments, directory=tmp_path) as run:
        (node,) = run.wait_for("node")
        eventually(lambda: has_numpy(node) and has_numpy(run.pid), "node and controller load NumPy")
        (supervisor,), workers = run.wait_for("supervisor"), run.wait_for("worker", 2)
        assert not any(map(has_numpy, (supervisor, *workers)))
        run.kill(node, signal.SIGSTOP)
        try:
            before = rounds(run)
            eventually(lambda: rounds(run) >= before + 10, "users go on")
            run.kill(run.pid, signal.SIGINT)
            run.wait_for_output("stopping: users have")
        finally:
            run.kill(node, signal.SIGCONT)
        assert run.end() == 0, run.output
        summary = run.summary()
    done = rounds(run)
    assert summary["counters"]["rounds"] == done >= 10
    counts = {summary["timers"][f"t{number}"]["count"] for number in range(TIMERS)}
    assert counts == {done * DURATIONS}
