"""A run on several hosts in which users are added and removed, while a second terminal watches."""

from __future__ import annotations

import json
import os
import signal
import subprocess
from pathlib import Path
from typing import Any

from tests.cluster.hosts import checked
from tests.cluster.patience import DEADLINE_S, eventually
from tests.cluster.runs import Run

USERS, ADDED, REMOVED = 100, 50, 25
"""Users at the start, users added, and users removed by each of the two ways."""


class Console:
    """Commands for a run, on the host where it was started."""

    def __init__(self, run: Run, python: str, env: dict[str, str]) -> None:
        self._run = run
        self._command = [python, "-m", "amoc"]
        self._where = ["--run", str(run.directory / "run")]
        self._env = env

    def _inside(self, *command: str) -> list[str]:
        return self._run.head.inside([*self._command, *command, *self._where], self._env)

    def give(self, *command: str) -> str:
        """Give a command, which must succeed; return its output."""
        return checked(self._inside(*command))

    def status(self) -> Any:
        """Return the run's present status."""
        return json.loads(self.give("status", "--json", "-"))

    def wait_for_running(self, count: int) -> None:
        """Wait until exactly `count` users are running."""
        eventually(
            lambda: self.status()["users"]["running"] == count, lambda: str(self.status()["users"])
        )

    def attach_and_detach(self) -> str:
        """Attach to the run and detach with Ctrl-C; return what was shown."""
        with subprocess.Popen(
            self._inside("attach"),
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        ) as attached:
            assert attached.stdout is not None
            shown = attached.stdout.readline()
            children = Path(f"/proc/{attached.pid}/task/{attached.pid}/children").read_text()
            (viewer,) = map(int, children.split())
            os.kill(viewer, signal.SIGINT)
            shown += attached.communicate(timeout=DEADLINE_S)[0]
        return shown


def walk_through(run: Run, console: Console) -> None:
    """Add users to a run of `USERS` endless users, remove some, watch it, and stop it.

    Checks that users are placed round robin, and that no count is lost.
    """
    run.wait_for_users(USERS)
    hosts = len(run.nodes)
    by_turn = [
        {place for user, places in run.turns().items() if user % hosts == turn for place in places}
        for turn in range(hosts)
    ]
    assert [len(places) for places in by_turn] == [1] * hosts
    assert len(set.union(*by_turn)) == hosts
    console.give("add", str(ADDED), "--comment", "more of them")
    run.wait_for_users(USERS + ADDED)
    chosen = console.status()["nodes"][-1]
    console.give("remove", str(REMOVED), "--comment", "some may go")
    console.give("remove", str(REMOVED), "--force", "--on-nodes", chosen["name"])
    left = USERS + ADDED - 2 * REMOVED
    console.wait_for_running(left)
    *others, last = console.status()["nodes"]
    assert last["users"] < min(node["users"] for node in others)
    assert "running" in console.attach_and_detach()
    assert console.status()["users"]["running"] == left
    console.give("stop")
    assert run.end() == 0, run.output
    summary = run.summary()
    assert summary["users"]["started"] == USERS + ADDED
    turns = sum(len(times) for places in run.turns().values() for times in places.values())
    assert summary["counters"]["turns"] == turns
    journal = (run.directory / "run/journal.jsonl").read_text()
    assert "more of them" in journal
    assert "some may go" in journal
