"""How fast users start and stop, and what an idle user takes.

Goals: 40,000 starts per second over two workers, 12 µs of CPU from start to end and 5 kB per user.

    python -m benchmarks.users [--users 100000] [--workers 2] [--rounds 3]

Memory is the growth of the workers' proportional set sizes, measured in the run while the users
exist, relative to a run with one user for each worker. CPU is user and system time of the workers,
minus that of the run with one user each. The time to stop is from SIGTERM to the end of the
command, minus the same of the run with one user each.
"""

from __future__ import annotations

import argparse
import statistics
import sys
import time
from typing import Any, NamedTuple

from benchmarks import machine, outcome
from benchmarks.amoc_run import HERE, amoc_run
from benchmarks.processes import cpu_s, family, pss_bytes

SHORT = ["--users", "2000", "--rounds", "1"]
WANTED_STARTS_PER_S, WANTED_US, WANTED_BYTES = 40_000, 12, 5_000
LATE_S = 0.25
"""If a worker's loop is later than this at its 99th percentile, the figures are doubtful."""
START_S = 120.0
SETTLE_S = 0.5
"""Time for reports of starts."""


class Measured(NamedTuple):
    """The costs of a run."""

    summary: dict[str, Any]
    memory: int
    """Bytes of the workers, with all users."""
    start_cpu_s: float
    """The workers', until all users exist."""
    cpu_s: float
    """The workers', to the end."""
    stop_s: float
    """From the signal to the end of the command."""


def run_once(users: int, workers: int) -> Measured:
    """Start users, and stop them when all exist."""
    options = ("--stop-timeout", "60s")
    with amoc_run(
        HERE / "users_scenario.py", users, workers, {"noted": users - workers + 1}, *options
    ) as run:
        run.wait_for("*.begun", workers, START_S)
        time.sleep(SETTLE_S)
        roles = family(run.process.pid)
        pids = [pid for pid, role in roles.items() if role.startswith("worker")]
        memory, started_cpu_s = pss_bytes(pids), sum(map(cpu_s, pids))
        begin = time.monotonic()
        summary = run.finish(stop=True)
        stop_s = time.monotonic() - begin
    used_s = sum(worker["cpu_s"] for worker in summary["workers"])
    return Measured(summary, memory, started_cpu_s, used_s, stop_s)


def main() -> int:
    """Print the goals and the results."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawTextHelpFormatter
    )
    parser.add_argument("--users", type=int, default=100_000)
    parser.add_argument("--workers", type=int, default=2)
    parser.add_argument("--rounds", type=int, default=3)
    options = parser.parse_args()
    print(machine.describe())
    empty = run_once(options.workers, options.workers)
    rates, costs, sizes = [], [], []
    for number in range(options.rounds):
        one = run_once(options.users, options.workers)
        users, lag = one.summary["users"], one.summary["timers"]["loop_lag"]
        gauges = one.summary["gauges"]
        span_s = gauges["last_start_s"] - gauges["first_start_s"]
        rates.append(users["started"] / span_s)
        costs.append((one.cpu_s - empty.cpu_s) / options.users * 1e6)
        start_us = (one.start_cpu_s - empty.start_cpu_s) / options.users * 1e6
        sizes.append((one.memory - empty.memory) / options.users)
        stop_s = one.stop_s - empty.stop_s
        print(
            f"round {number + 1}: {options.users} users requested, {users['started']} started"
            f" in {span_s:.2f} s: {rates[-1]:,.0f}/s;"
            f" {costs[-1]:.1f} µs of CPU per user from start to end, {start_us:.1f} of it to start;"
            f" {sizes[-1]:,.0f} bytes per user; stopped in {stop_s:.2f} s;"
            f" own lateness p99 {lag['p99_s'] * 1e3:.1f} ms, max {lag['max_s'] * 1e3:.1f} ms"
        )
        outcome.figure("starts", rates[-1], "/s")
        outcome.figure("CPU, start to end", costs[-1], "µs")
        outcome.figure("CPU, start", start_us, "µs")
        outcome.figure("memory of a user", sizes[-1], "B")
        outcome.figure("time to stop all", stop_s, "s")
        if lag["p99_s"] > LATE_S:
            print("  the workers themselves were late: they do nothing but start users")
    done = [statistics.median(one) for one in (rates, costs, sizes)]
    if done[0] < WANTED_STARTS_PER_S:
        outcome.missed(f"goal: {WANTED_STARTS_PER_S:,} starts per second, got {done[0]:,.0f}")
    if done[1] > WANTED_US:
        outcome.missed(f"goal: {WANTED_US} µs from start to end, got {done[1]:.1f}")
    if done[2] > WANTED_BYTES:
        outcome.missed(f"goal: {WANTED_BYTES:,} bytes per user, got {done[2]:,.0f}")
    return outcome.exit_code()


if __name__ == "__main__":
    sys.exit(main())
