"""How fast users start and what one that only exists takes: ``amoc run`` as an operator calls it.

Wanted (issue of the first release): 40,000 starts a second over two workers, 10 kB a user.

    python benchmarks/users.py [--users 100000] [--workers 2] [--rounds 3]

Memory is what the workers' proportional set sizes grow by, measured in the run while the users
exist, against a run with one user for each worker. CPU is user and system time of the workers,
from their start to their end, so the users' leaving is in it.
"""

from __future__ import annotations

import argparse
import json
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import machine
import processes

HERE = Path(__file__).parent
WANTED_STARTS_PER_S = 40_000
WANTED_BYTES = 10_000
LATE_S = 0.25
"""A worker whose loop is later than this at its 99th percentile makes the figures doubtful."""


def pss_bytes(pids: list[int]) -> int:
    """The memory of `pids`, shared pages divided by those that share them."""
    total = 0
    for pid in pids:
        for line in Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines():
            if line.startswith("Pss:"):
                total += int(line.split()[1]) * 1024
    return total


def workers_of(controller: int) -> list[int]:
    """The pids of a run's workers."""
    return [pid for pid, role in processes.family(controller).items() if role.startswith("worker")]


def run_once(users: int, workers: int) -> tuple[dict[str, Any], int]:
    """The summary of a run, and its workers' memory when all users exist."""
    with tempfile.TemporaryDirectory() as directory:
        summary = Path(directory) / "summary.json"
        process = subprocess.Popen(
            [
                *(sys.executable, "-m", "amoc", "run", str(HERE / "users_scenario.py")),
                *("--users", str(users), "--workers", str(workers), "--json", str(summary)),
                *("--set", "user_rate=infinity", "--stop-timeout", "30s"),
                *("--run-dir", f"{directory}/run"),
            ],
            cwd=HERE.parent,
            stdout=subprocess.PIPE,
            text=True,
        )
        assert process.stdout is not None
        give_up = time.monotonic() + 120
        for line in process.stdout:  # one plain line every five seconds
            if f"users: {users} running" in line or time.monotonic() > give_up:
                break
        memory = pss_bytes(workers_of(process.pid))
        process.terminate()
        process.communicate(timeout=120)
        return json.loads(summary.read_text()), memory


def main() -> int:
    """Print what was wanted and what was done; the exit status says whether it was reached."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawTextHelpFormatter
    )
    parser.add_argument("--users", type=int, default=100_000)
    parser.add_argument("--workers", type=int, default=2)
    parser.add_argument("--rounds", type=int, default=3)
    options = parser.parse_args()
    print(machine.describe())
    _, empty = run_once(options.workers, options.workers)
    rates, sizes = [], []
    for number in range(options.rounds):
        summary, memory = run_once(options.users, options.workers)
        users, timers = summary["users"], summary["timers"]
        span_s = summary["gauges"]["last_start_s"] - summary["gauges"]["first_start_s"]
        cpu_s = sum(worker["cpu_s"] for worker in summary["workers"])
        late_s = timers["loop_lag"]["p99_s"]
        rates.append(users["started"] / span_s)
        sizes.append((memory - empty) / options.users)
        print(
            f"round {number + 1}: wanted {options.users} users, started {users['started']}"
            f" ({users['crashed']} crashed) in {span_s:.2f} s: {rates[-1]:,.0f}/s;"
            f" {cpu_s / options.users * 1e6:.1f} µs CPU a user from start to end;"
            f" {sizes[-1]:,.0f} bytes a user; own lateness p99 {late_s * 1e3:.1f} ms,"
            f" max {timers['loop_lag']['max_s'] * 1e3:.1f} ms"
        )
        if late_s > LATE_S:
            print("  the workers were late themselves: take no verdict from this round")
    rate, size = statistics.median(rates), statistics.median(sizes)
    print(f"starts per second: wanted {WANTED_STARTS_PER_S:,}, done {rate:,.0f} (median)")
    print(f"bytes per user:    wanted {WANTED_BYTES:,}, done {size:,.0f} (median)")
    return 0 if rate >= WANTED_STARTS_PER_S and size <= WANTED_BYTES else 1


if __name__ == "__main__":
    sys.exit(main())
