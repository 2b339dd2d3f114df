"""Runs over ssh, on small hosts: what is lost, what stays, and that nothing runs twice."""

from __future__ import annotations

import json
import os
import re
import signal
import subprocess
import sys
import textwrap
from collections import defaultdict
from collections.abc import Iterator
from contextlib import contextmanager
from itertools import pairwise
from pathlib import Path

from tests.cluster.hosts import DEADLINE_S, ROOT, Host, Network, eventually

REMOTE = f"{sys.executable} -m amoc"
# Each line: which user, on which host, when, on the one clock of this machine.
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
            os.write(log, f"{user_id} {place} {time.clock_gettime_ns(7)}\\n".encode())
            turns.inc()
            user.sleep(0.1)
"""


class Run:
    """An ``amoc run`` on the first host of a network, on nodes on the others."""

    def __init__(self, network: Network, directory: Path, turns: int, *options: str) -> None:
        self.head, *self.nodes = network.hosts
        self.directory = directory
        text = textwrap.dedent(SCENARIO).replace("HERE", repr(str(directory)))
        sources = directory / "scenario"
        sources.mkdir()
        (sources / "trial.py").write_text(text)
        (sources / "helper.py").write_text(f"TURNS = {turns}\n")
        # More than one part of what is sent.
        (sources / "names.csv").write_text("name\n" + 600_000 * "ann\n")
        hosts = ",".join(host.name for host in self.nodes)
        command = [sys.executable, "-m", "amoc", "run", str(sources / "trial.py"), "--limited-ok"]
        cluster = ["--cluster", f"ssh://{hosts}", "--remote-amoc", REMOTE, "--workers", "1"]
        once = ["--set", "repeat_num=1", "--set", "user_rate=infinity"]
        files = ["--json", str(directory / "summary.json"), "--run-dir", str(directory / "run")]
        env = {"TMPDIR": str(self.head.home), "PYTHONPATH": str(ROOT)}
        with (directory / "output").open("wb") as output:
            self.process = subprocess.Popen(
                self.head.inside([*command, *cluster, *once, *files, *options], env),
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=subprocess.STDOUT,
                cwd=ROOT,
            )

    @property
    def output(self) -> str:
        return (self.directory / "output").read_text()

    def summary(self):
        return json.loads((self.directory / "summary.json").read_text())

    def turns(self) -> dict[int, dict[int, list[int]]]:
        """When each user took its turns, by host."""
        found: dict[int, dict[int, list[int]]] = defaultdict(lambda: defaultdict(list))
        log = self.directory / "log"
        for line in log.read_text().splitlines() if log.exists() else []:
            user_id, place, at_ns = map(int, line.split())
            found[user_id][place].append(at_ns)
        return found

    def wait_for_users(self, count: int) -> None:
        """Wait until so many users have begun."""
        eventually(
            lambda: len(self.turns()) >= count or self.process.poll() is not None, self._what
        )
        assert self.process.poll() is None, self.output

    def _what(self) -> str:
        return self.output

    def end(self) -> int:
        return self.process.wait(DEADLINE_S)

    def left_on(self, host: Host) -> list[str]:
        """What is left of the run on a host."""
        return [line for line in host.processes() if "amoc" in line]

    def wait_for_nothing_left(self) -> None:
        everywhere = (self.head, *self.nodes)

        def left() -> list[str]:
            return [line for host in everywhere for line in self.left_on(host)]

        eventually(lambda: not left(), lambda: str(left()))
        assert not [path for host in everywhere for path in host.home.glob("amoc-*")]


def ran_twice(turns: dict[int, dict[int, list[int]]]) -> list[int]:
    """The users that ran in two places at the same time."""
    found = []
    for user_id, places in turns.items():
        spans = sorted((min(times), max(times)) for times in places.values())
        if any(later[0] <= sooner[1] for sooner, later in pairwise(spans)):
            found.append(user_id)
    return found


@contextmanager
def running(network: Network, directory: Path, turns: int, *options: str) -> Iterator[Run]:
    run = Run(network, directory, turns, *options)
    try:
        yield run
    finally:
        if run.process.poll() is None:
            run.process.kill()
            run.process.wait(DEADLINE_S)


def test_a_run_on_three_hosts_takes_its_files_along_and_leaves_nothing(hosts, tmp_path):
    network = hosts(4)
    with running(network, tmp_path, 20, "--users", "6") as run:
        run.wait_for_users(6)
        shown = [line for host in network.hosts for line in host.processes()]
        assert run.end() == 0, run.output
        turns, summary = run.turns(), run.summary()
        run.wait_for_nothing_left()
    assert {user: len(places) for user, places in turns.items()} == dict.fromkeys(range(1, 7), 1)
    hosts_used = {next(iter(places)) for places in turns.values()}
    assert len(hosts_used) == 3
    assert summary["users"]["finished"] == 6
    assert summary["counters"]["turns"] == 120
    assert {log.stem for log in (tmp_path / "run/logs").iterdir()} == {
        "controller",
        *("node0", "supervisor", "worker-0"),
        *("node1", "supervisor-1", "worker-1"),
        *("node2", "supervisor-2", "worker-2"),
    }
    assert {f"is on h{number} " in run.output for number in (2, 3, 4)} == {True}
    # What ps shows has no secret in it, and files have none either.
    assert any("--secret-file -" in line for line in shown)
    assert not any(re.search(r"\b[0-9a-f]{64}\b", line) for line in shown)


def test_users_of_a_host_that_is_lost_stop_there_before_they_start_elsewhere(hosts, tmp_path):
    network = hosts(4)
    *_, frozen, cut = network.hosts
    with running(network, tmp_path, 90, "--users", "6") as run:
        run.wait_for_users(6)
        network.cut(cut)
        keeper = frozen.pid_of("amoc: node keeper")
        os.kill(keeper, signal.SIGSTOP)
        eventually(
            lambda: sum(len(one) > 1 for one in run.turns().values()) == 4, lambda: run.output
        )
        assert not run.left_on(cut)
        assert [line for line in run.left_on(frozen) if "keeper" not in line] == []
        network.heal(cut)
        os.kill(keeper, signal.SIGCONT)
        assert run.end() == 0, run.output
        turns, summary = run.turns(), run.summary()
        run.wait_for_nothing_left()
    assert not ran_twice(turns)
    assert summary["users"]["finished"] == 6
    assert summary["counters"]["turns"] >= 540
    assert "has not been heard from for 8 s" in run.output


def test_when_the_controller_is_killed_nothing_is_left_on_any_host(hosts, tmp_path):
    network = hosts(3)
    with running(network, tmp_path, 1_000, "--users", "4") as run:
        run.wait_for_users(4)
        started_by_nsenter = Path(f"/proc/{run.process.pid}/task/{run.process.pid}/children")
        (controller,) = map(int, started_by_nsenter.read_text().split())
        os.kill(controller, signal.SIGKILL)
        run.end()
        run.wait_for_nothing_left()
