"""Accuracy of a throttle across hosts whose clocks differ, compared to a single host.

    python -m tests.cluster.clocks [--rate 1000] [--seconds 20] [--apart 2] [--delay 0]

Runs over ssh on one small host, and then on two. The clock of one of the two is ahead by `--apart`
seconds, and its cable delays frames by `--delay` milliseconds. Users log the time of day, which
all these hosts share, whenever they use a slot. Prints the number of slots used, its relative
error, and the most within any one second, which may exceed the rate by slots that were used late.
The error must be at most 0.1 %, as on one host. Needs root.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import tempfile
from bisect import bisect_left
from pathlib import Path

from tests.cluster.hosts import ROOT, Network

USERS = 100
SETTLE_S = 3.0
WANTED = 0.001
SCENARIO = """
import os, time
from amoc import throttle

log = os.open(LOG, os.O_WRONLY | os.O_APPEND | os.O_CREAT)

def init():
    throttle.start("turns", RATE, interval=1)

def start(user_id):
    while True:
        throttle.wait("turns")
        os.write(log, f"{time.time_ns()}\\n".encode())
"""


def measured(options: argparse.Namespace, nodes: int, apart_s: int) -> float:
    """Measure a run on that many nodes; return the relative error of its rate."""
    with tempfile.TemporaryDirectory(prefix="amoc-clocks-") as made:
        directory = Path(made)
        log, summary = directory / "log", directory / "summary.json"
        scenario = directory / "scenario/trial.py"
        scenario.parent.mkdir()
        scenario.write_text(f"LOG, RATE = {str(log)!r}, {options.rate}\n{SCENARIO}")
        with Network(1 + nodes, directory / "network", apart_s) as network:
            head, *others = network.hosts
            if apart_s and options.delay:
                network.worsen(others[-1], delay_ms=options.delay)
            command = [sys.executable, "-m", "amoc", "run", str(scenario), "--limited-ok"]
            where = f"ssh://{','.join(host.name for host in others)}"
            command += ["--cluster", where, "--remote-amoc", f"{sys.executable} -m amoc"]
            command += ["--users", str(USERS), "--workers", "1", "--set", "user_rate=infinity"]
            command += ["--duration", f"{options.seconds + 2 * SETTLE_S:g}s"]
            command += ["--json", str(summary), "--run-dir", str(directory / "run")]
            env = {"PYTHONPATH": str(ROOT), "TMPDIR": str(head.home)}
            subprocess.run(head.inside(command, env), check=True, stdout=subprocess.DEVNULL)
        used = sorted(int(line) / 1e9 for line in log.read_text().splitlines())
        found = json.loads(summary.read_text())
    begin = used[0] + SETTLE_S
    count = bisect_left(used, begin + options.seconds) - bisect_left(used, begin)
    off = count / (options.rate * options.seconds) - 1
    most = max(bisect_left(used, at + 1) - place for place, at in enumerate(used))
    missed = found["throttles"]["turns"]["missed"]
    bounds = ", ".join(f"{one['clock_bound_s'] * 1e3:.2f} ms" for one in found["nodes"])
    print(
        f"{nodes} node(s), clocks {apart_s} s apart, known to within {bounds}: {count} in"
        f" {options.seconds:g} s, off by {off:+.3%}; at most {most} in a second; {missed} missed",
        flush=True,
    )
    return abs(off)


def main() -> int:
    """Measure runs on one host and on two; return the exit code."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--rate", type=int, default=1000)
    parser.add_argument("--seconds", type=float, default=20.0)
    parser.add_argument("--apart", type=int, default=2)
    parser.add_argument("--delay", type=float, default=0.0)
    options = parser.parse_args()
    one = measured(options, 1, 0)
    two = measured(options, 2, options.apart)
    return int(max(one, two) > WANTED)


if __name__ == "__main__":
    sys.exit(main())
