"""Runs on small hosts: where their users have run, and what is left of them afterwards."""

from __future__ import annotations

import json
import re
import subprocess
import sys
import textwrap
from collections import defaultdict
from collections.abc import Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager
from itertools import pairwise
from pathlib import Path
from typing import Any

from tests.cluster.hosts import ROOT, Host, Network
from tests.cluster.patience import DEADLINE_S, eventually

_OURS = re.compile(r"^amoc: |^ray::AmocNode|-m amoc |amoc\.runtime")
"""Command lines of a run's processes."""
# Each line: user, host, and time on this machine's shared clock.
SCENARIO = """
    import os, time
    import helper
    from amoc import feed, metrics, user

    log = os.open(HERE + "/log", os.O_WRONLY | os.O_APPEND | os.O_CREAT)
    names = feed.csv("names.csv", order="circular")
    turns = metrics.counter("turns")
    place = os.stat("/proc/self/ns/net").st_ino

    def start(user_id):
        assert names.next()["name"] == "ann"
        for _ in range(helper.TURNS):
            if os.path.exists(HERE + "/enough"):
                break
            os.write(log, f"{user_id} {place} {time.clock_gettime_ns(7)}\\n".encode())
            turns.inc()
            user.sleep(0.1)
"""


class Run:
    """An ``amoc run`` on one host, with nodes on others."""

    def __init__(
        self,
        head: Host,
        nodes: Sequence[Host],
        directory: Path,
        turns: int,
        options: Sequence[str],
        python: str = sys.executable,
        env: dict[str, str] | None = None,
    ) -> None:
        self.head, self.nodes = head, nodes
        self.directory = directory
        text = textwrap.dedent(SCENARIO).replace("HERE", repr(str(directory)))
        sources = directory / "scenario"
        sources.mkdir()
        (sources / "trial.py").write_text(text)
        (sources / "helper.py").write_text(f"TURNS = {turns}\n")
        # Larger than a single chunk of the transfer.
        (sources / "names.csv").write_text("name\n" + 600_000 * "ann\n")
        command = [python, "-m", "amoc", "run", str(sources / "trial.py"), "--limited-ok"]
        once = ["--workers", "1", "--set", "repeat_num=1", "--set", "user_rate=infinity"]
        files = ["--json", str(directory / "summary.json"), "--run-dir", str(directory / "run")]
        own = {"TMPDIR": str(self.head.home), "PYTHONPATH": str(ROOT)}
        with (directory / "output").open("wb") as output:
            self.process = subprocess.Popen(
                self.head.inside([*command, *once, *files, *options], own | (env or {})),
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=subprocess.STDOUT,
                cwd=ROOT,
            )

    @property
    def output(self) -> str:
        return (self.directory / "output").read_text()

    def summary(self) -> Any:
        return json.loads((self.directory / "summary.json").read_text())

    def turns(self) -> dict[int, dict[int, list[int]]]:
        """Return the times of each user's turns, by host."""
        found: dict[int, dict[int, list[int]]] = defaultdict(lambda: defaultdict(list))
        log = self.directory / "log"
        for line in log.read_text().splitlines() if log.exists() else []:
            user_id, place, at_ns = map(int, line.split())
            found[user_id][place].append(at_ns)
        return found

    def wait_for_users(self, count: int) -> None:
        """Wait until `count` users have started."""
        eventually(lambda: len(self.turns()) >= count or self.process.poll() is not None, self.what)
        assert self.process.poll() is None, self.output

    def have_users_finish(self) -> None:
        """Let no user take another turn."""
        (self.directory / "enough").touch()

    def what(self) -> str:
        return self.output

    def end(self) -> int:
        eventually(lambda: self.process.poll() is not None, self.what)
        return int(self.process.returncode)

    def left_on(self, host: Host) -> list[str]:
        """Return what is left of the run on a host."""
        return [line for line in host.processes() if _OURS.search(line)]

    def wait_for_nothing_left(self) -> None:
        everywhere = (self.head, *self.nodes)

        def left() -> list[str]:
            return [line for host in everywhere for line in self.left_on(host)]

        eventually(lambda: not left(), lambda: str(left()))
        assert not [path for host in everywhere for path in host.home.glob("amoc-*")]


def ran_twice(turns: dict[int, dict[int, list[int]]]) -> list[int]:
    """Return the users that ran in two places at the same time."""
    found = []
    for user_id, places in turns.items():
        spans = sorted((min(times), max(times)) for times in places.values())
        if any(later[0] <= sooner[1] for sooner, later in pairwise(spans)):
            found.append(user_id)
    return found


@contextmanager
def until_ended(run: Run) -> Iterator[Run]:
    """Keep a run until the block ends."""
    try:
        yield run
    finally:
        if run.process.poll() is None:
            run.process.kill()
            run.process.wait(DEADLINE_S)


def over_ssh(
    network: Network, directory: Path, turns: int, *options: str
) -> AbstractContextManager[Run]:
    """A run on the first host, with nodes on the others."""
    head, *nodes = network.hosts
    hosts = ",".join(host.name for host in nodes)
    cluster = ["--cluster", f"ssh://{hosts}", "--remote-amoc", f"{sys.executable} -m amoc"]
    return until_ended(Run(head, nodes, directory, turns, [*cluster, *options]))
