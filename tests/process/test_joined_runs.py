"""Runs on joined nodes survive a stall of the controller."""

from __future__ import annotations

import signal
import time
from collections import defaultdict
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.process.joined import joined
from tests.process.support import eventually, lines

pytestmark = pytest.mark.slow

STILL_S = 2.0

# Each user logs, unbuffered, the process that it runs in.
TURNS = """
    import os
    from amoc import user

    log = os.open(HERE + "/log", os.O_WRONLY | os.O_APPEND | os.O_CREAT)

    def start(user_id):
        while not user.stopping:
            os.write(log, f"{user_id} {os.getpid()}\\n".encode())
            user.wait_stopping(0.05)
"""


@pytest.fixture
def own_directory(scenario: Callable[[str], Path], tmp_path: Path) -> Callable[[str], Path]:
    """Write a scenario to a separate directory, as it is sent to hosts."""

    def written(text: str) -> Path:
        source = scenario(text)
        file = tmp_path / "sent" / "trial.py"
        file.parent.mkdir()
        return source.rename(file)

    return written


def places(log: Path, after: int = 0) -> dict[str, set[str]]:
    """Return the processes in which each user has run, from line `after` on."""
    found = defaultdict(set)
    for line in lines(log)[after:]:
        user_id, pid = line.split(" ")
        found[user_id].add(pid)
    return found


def test_a_controller_that_stalls_for_a_while_loses_no_node(own_directory, tmp_path):
    log = tmp_path / "log"
    options = ("--users", "4", "--duration", "1h")
    with joined(own_directory(TURNS), 2, *options, directory=tmp_path) as it:
        run = it.run
        eventually(lambda: len(places(log)) == 4, f"users run:\n{run.output}")
        run.kill(run.pid, signal.SIGSTOP)
        stopped, count = time.monotonic(), len(lines(log))
        eventually(lambda: time.monotonic() - stopped >= STILL_S, "the stall has lasted")
        run.kill(run.pid, signal.SIGCONT)
        run.wait_for_output("amoc itself was suspended for")
        assert len(lines(log)) > count, "users go on meanwhile"
        count = len(lines(log))
        eventually(lambda: len(places(log, count)) == 4, f"all go on:\n{run.output}")
        run.kill(run.pid, signal.SIGINT)
        assert run.end() == 0, run.output
        assert [one["state"] for one in run.summary()["nodes"]] == ["up", "up"]
    assert all(len(one) == 1 for one in places(log).values()), "nobody has moved"
