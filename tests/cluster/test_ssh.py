"""Runs over ssh, on small hosts: what is lost, what stays, and that nothing runs twice."""

from __future__ import annotations

import json
import os
import re
import signal
import sys
from pathlib import Path

from tests.cluster.hosts import ROOT, checked
from tests.cluster.patience import eventually
from tests.cluster.runs import over_ssh, ran_twice


def test_a_run_on_three_hosts_sends_its_files_and_leaves_nothing(hosts, tmp_path):
    network = hosts(4)
    with over_ssh(network, tmp_path, 20, "--users", "6") as run:
        run.wait_for_users(6)
        shown = [line for host in network.hosts for line in host.processes()]
        assert run.end() == 0, run.output
        turns, summary = run.turns(), run.summary()
        run.wait_for_nothing_left()
    assert {user: len(places) for user, places in turns.items()} == dict.fromkeys(range(1, 7), 1)
    hosts_used = {next(iter(places)) for places in turns.values()}
    assert len(hosts_used) == 3
    assert {node["host"] for node in summary["nodes"]} == {"h2", "h3", "h4"}
    assert all(re.fullmatch(r"pid \d+", node["id"]) for node in summary["nodes"])
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
    with over_ssh(network, tmp_path, 90, "--users", "6") as run:
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


FAR = """
from amoc import throttle

def init():
    throttle.start("turns", 100, interval=1)

def start(user_id):
    while True:
        throttle.wait("turns")
"""


def test_users_on_a_distant_host_pass_a_throttle_on_time(hosts, tmp_path):
    network = hosts(2, ahead_s=5)
    head, far = network.hosts
    network.worsen(far, delay_ms=120)
    (tmp_path / "sources").mkdir()
    scenario, summary = tmp_path / "sources/far.py", tmp_path / "summary.json"
    scenario.write_text(FAR)
    command = [sys.executable, "-m", "amoc", "run", str(scenario), "--users", "10", "--limited-ok"]
    command += ["--workers", "1", "--set", "user_rate=infinity", "--duration", "8s"]
    command += ["--cluster", f"ssh://{far.name}", "--remote-amoc", f"{sys.executable} -m amoc"]
    command += ["--json", str(summary), "--run-dir", str(tmp_path / "run")]
    checked(head.inside(command, {"TMPDIR": str(head.home), "PYTHONPATH": str(ROOT)}))
    found = json.loads(summary.read_text())
    assert found["nodes"][0]["clock_bound_s"] >= 0.12
    # All that was dealt as to a near one is 20 ms too late to be used.
    assert found["throttles"]["turns"]["executions"] > 400


def test_a_killed_controller_leaves_nothing_on_any_host(hosts, tmp_path):
    network = hosts(3)
    with over_ssh(network, tmp_path, 1_000, "--users", "4") as run:
        run.wait_for_users(4)
        started_by_nsenter = Path(f"/proc/{run.process.pid}/task/{run.process.pid}/children")
        (controller,) = map(int, started_by_nsenter.read_text().split())
        os.kill(controller, signal.SIGKILL)
        run.end()
        run.wait_for_nothing_left()
