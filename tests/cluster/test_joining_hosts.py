"""Hosts that join by themselves, one with another clock: throttles are exact all the same."""

from __future__ import annotations

import json
import re
import subprocess
import sys
import textwrap
from collections import Counter
from pathlib import Path

from tests.cluster.hosts import ROOT
from tests.cluster.patience import DEADLINE_S

RATE = 50
TURNS, USERS = 30, 10
LATE_S = 0.1
"""A slot that is later than this is not used."""
SCENARIO = """
    import os, time
    from amoc import throttle

    log = os.open(HERE + "/log", os.O_WRONLY | os.O_APPEND | os.O_CREAT)
    place = os.stat("/proc/self/ns/net").st_ino

    def init():
        throttle.start("turns", RATE, interval=1)

    def start(user_id):
        for _ in range(TURNS):
            throttle.wait("turns")
            os.write(log, f"{place} {time.time_ns()}\\n".encode())
"""


def test_a_throttle_is_exact_across_hosts_with_different_clocks(hosts, tmp_path: Path):
    head, *nodes = hosts(3, 7200).hosts
    clock = [sys.executable, "-c", "import time; print(time.monotonic())"]
    assert float(nodes[1].run(*clock)) - float(head.run(*clock)) > 7000, "clocks are not apart"
    text = textwrap.dedent(SCENARIO).replace("HERE", repr(str(tmp_path)))
    scenario = tmp_path / "scenario" / "trial.py"
    scenario.parent.mkdir()
    scenario.write_text(text.replace("RATE", str(RATE)).replace("TURNS", str(TURNS)))
    secret = tmp_path / "secret"
    secret.touch(0o600)
    secret.write_text("known to these hosts alone")
    env = {"PYTHONPATH": str(ROOT)}
    amoc = [sys.executable, "-m", "amoc"]
    joining = [*amoc, "node", "--controller", f"tcp://[{head.address6}]", "--secret-file"]
    keepers = [
        subprocess.Popen(
            node.inside([*joining, str(secret)], {**env, "XDG_CACHE_HOME": str(node.home)})
        )
        for node in nodes
    ]
    cluster = ["--cluster", "join", "--nodes", "2", "--secret-file", str(secret)]
    options = ["--users", str(USERS), "--workers", "1", "--limited-ok", "--bind", "[::]"]
    once = ["--set", "repeat_num=1", "--set", "user_rate=infinity"]
    files = ["--run-dir", str(tmp_path / "run")]
    command = [*amoc, "run", str(scenario), *cluster, *options, *once, *files]
    done = subprocess.run(
        head.inside(command, env), capture_output=True, text=True, timeout=DEADLINE_S
    )
    assert done.returncode == 0, done.stdout + done.stderr
    # Beside a busy core another line may warn of what that does to its bound.
    told = re.findall(r"amoc: the clock of \S+ is tracked to within ", done.stdout)
    assert len(told) == 1, "one of the hosts has another clock"
    assert [keeper.wait(DEADLINE_S) for keeper in keepers] == [0, 0]
    summary = json.loads((tmp_path / "run" / "summary.json").read_text())
    bounds = sorted(node["clock_bound_s"] for node in summary["nodes"])
    assert bounds[0] == 0 < bounds[1] < LATE_S
    passes = sorted(
        (int(at_ns) / 1e9, place)
        for place, at_ns in map(str.split, (tmp_path / "log").read_text().splitlines())
    )
    assert list(Counter(place for _, place in passes).values()) == [TURNS * USERS // 2] * 2
    for first, (begin_s, _) in enumerate(passes):
        within = sum(at_s < begin_s + 1 for at_s, _ in passes[first:])
        assert within <= RATE * (1 + LATE_S) + 1, "more than the rate within a second"
