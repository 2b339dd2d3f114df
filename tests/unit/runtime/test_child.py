"""Children are awaited, whoever else reaps the children of this process."""

from __future__ import annotations

import os
import signal
import textwrap
from pathlib import Path

import gevent
import gevent.subprocess
import pytest

from amoc.runtime.child import STATUS_TAKEN, ChildProcess
from tests.process.support import eventually


@pytest.fixture
def start(tmp_path, monkeypatch):
    """Start a child that runs some code; whatever is left of it is killed."""
    started = []
    monkeypatch.setenv("PYTHONPATH", str(tmp_path))

    def start(code: str, on_line=lambda line: None) -> ChildProcess:
        name = f"told_{len(started)}"
        (tmp_path / f"{name}.py").write_text(textwrap.dedent(code))
        started.append(ChildProcess(name, [], on_line))
        return started[-1]

    yield start
    for child in started:
        child.end(0)


def wait_for_end(child: ChildProcess) -> int:
    def ended() -> bool:
        gevent.sleep(0)
        return child.exit_status() is not None

    eventually(ended, "the child ends")
    return child.exit_status()


def test_an_exit_status_is_known_while_others_use_gevents_subprocess(start):
    child = start("import sys; sys.stdin.read(); sys.exit(7)")
    gevent.subprocess.run(["true"], check=True)
    assert child.exit_status() is None
    child.close_lifeline()
    assert wait_for_end(child) == 7
    gevent.subprocess.run(["true"], check=True)
    assert child.end(5) == child.end(5) == 7


def test_a_status_that_somebody_else_took_is_said_to_be_unknown_and_nobody_waits_for_it(start):
    child = start("import sys; sys.stdin.read()")
    child.close_lifeline()
    os.waitid(os.P_PID, child.pid, os.WEXITED)
    assert wait_for_end(child) == STATUS_TAKEN
    assert child.end(60) == STATUS_TAKEN


def test_a_child_that_does_not_leave_is_killed_with_what_it_has_started(start, tmp_path: Path):
    said: list[str] = []
    code = """
        import subprocess, time
        print(subprocess.Popen(["sleep", "60"]).pid, flush=True)
        time.sleep(60)
    """
    child = start(code, said.append)

    def told() -> bool:
        gevent.sleep(0)
        return bool(said)

    eventually(told, "the child has started another")
    assert child.end(0) == -signal.SIGKILL

    def gone() -> bool:
        try:
            state = Path(f"/proc/{said[0]}/stat").read_text().rpartition(")")[2].split()[0]
        except OSError:
            return True
        return state == "Z"

    eventually(gone, "what it has started is gone, too")
