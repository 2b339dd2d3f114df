"""A stopped controller or node: messages to it do not fill the memory, and none is lost."""

from __future__ import annotations

import signal
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.process.support import Run, eventually, running

pytestmark = pytest.mark.slow

# One user of each worker watches: it reports when nobody has added anything for a while and, after
# "enough", when the actions of all adds have run.
ADDING = """
    import os
    from amoc import coordinator, metrics, sleep, user

    added, WORKERS = [0], 2

    def enough():
        return user.stopping or os.path.exists(f"{HERE}/enough")

    def init():
        coordinator.start("all", (1, lambda event: metrics.counter("acted").inc()), timeout=60)

    def start(user_id):
        if user_id <= WORKERS:
            return look_on(user_id)
        while not enough():
            coordinator.add("all", "x" * 10_000)
            metrics.counter("added").inc()
            added[0] += 1
            sleep(0.01)
        user.wait_stopping()

    def look_on(user_id):
        before, same = 0, 0
        while not user.stopping:
            same = same + 1 if added[0] == before else 0
            before = added[0]
            if not same:
                say(user_id, "adding")
            elif same > 10 and before:
                say(user_id, "acted" if enough() and acted_upon() else "waiting")
            sleep(0.1)

    def acted_upon():
        state = coordinator.state("all")
        return state.adds == state.groups and not state.acting

    def say(user_id, what):
        with open(f"{HERE}/state_{user_id}.new", "w") as file:
            file.write(what)
        os.replace(file.name, f"{HERE}/state_{user_id}")
"""
MAX_MIB = 120
"""How much one process may grow; without a bound, these users would add as much in ten seconds."""


def rss_mib(pid: int) -> int:
    """Return the resident memory of a process, in MiB."""
    status = Path(f"/proc/{pid}/status").read_text()
    return int(status.split("VmRSS:")[1].split()[0]) >> 10


def wait_until_all(run: Run, directory: Path, state: str) -> None:
    """Wait until the adding users of both workers are in `state`."""

    def there() -> bool:
        files = [directory / f"state_{user_id}" for user_id in (1, 2)]
        return all(file.exists() and file.read_text() == state for file in files)

    eventually(there, f"both workers {state}; so far:\n{run.output}")


@pytest.mark.parametrize("role", ["controller", "node"])
def test_adds_block_while_the_controller_or_node_is_stopped_and_resume_with_it(
    scenario: Callable[[str], Path], tmp_path: Path, role: str
) -> None:
    file = scenario(ADDING)
    settings = ("--set", "user_rate=infinity", "--set", "repeat_num=1")
    workers = ("--users", "20", "--workers", "2", "--stop-timeout", "20")
    with running(file, *workers, *settings, directory=tmp_path) as run:
        wait_until_all(run, file.parent, "adding")
        node, *others = [*run.wait_for("node"), *run.wait_for("worker", 2)]
        still = run.pid if role == "controller" else node
        before = {pid: rss_mib(pid) for pid in (node, *others)}
        run.kill(still, signal.SIGSTOP)
        try:
            wait_until_all(run, file.parent, "waiting")
            grown = {pid: rss_mib(pid) - before[pid] for pid in before}
        finally:
            run.kill(still, signal.SIGCONT)
        assert max(grown.values()) < MAX_MIB
        wait_until_all(run, file.parent, "adding")
        (file.parent / "enough").touch()
        wait_until_all(run, file.parent, "acted")
        run.kill(run.pid, signal.SIGINT)
        assert run.end() == 0, run.output
        counters, crashes = run.summary()["counters"], run.summary()["crashes"]
    assert crashes == []
    assert "coordinator.all.adds_refused" not in counters
