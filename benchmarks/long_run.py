"""A long run with many users, metrics and throttles, and churn: does any process grow?

Each user waits for one of the throttles, records a few values, and ends after some slots; it
starts again a second later. So all throttles and metrics are in use, and greenlets come and go.
Every ten seconds one user in two hundred is removed for good and as many new ones are added. Once a
minute the memory of every process and its open descriptors are printed, and written to --csv.

Goals: no user raises, and from minute --settle to the last no process grows by more than --growth
percent and 2 MiB, nor by a descriptor.

    python -m benchmarks.long_run [--minutes 30] [--users 20000] [--metrics 1000]
        [--throttles 1000] [--rate 10] [--workers 2] [--settle 10] [--growth 2] [--csv FILE]

Memory is the resident memory, including pages that several processes share.
"""

from __future__ import annotations

import argparse
import csv
import subprocess
import sys
import time
from pathlib import Path

from benchmarks import machine, outcome
from benchmarks.amoc_run import HERE, AmocRun, amoc_run
from benchmarks.memory import Memory

SHORT = ["--minutes", "0", "--users", "20", "--metrics", "10", "--throttles", "4"]
CHURN_S, CHURN_SHARE = 10.0, 200
STEP_S = 60.0
START_S = 120.0
SETTLE_S = 10.0
"""From the first users to minute 0; by then all have started."""


def control(run: AmocRun, *words: str) -> None:
    """Send the run a command."""
    command = [sys.executable, "-m", "amoc", *words, "--run", str(run.directory / "run")]
    done = subprocess.run(
        command, cwd=HERE.parent, capture_output=True, text=True, timeout=60, check=False
    )
    if done.returncode:
        outcome.failed(f"amoc {' '.join(words)}: {done.stderr}")


def stay(run: AmocRun, memory: Memory, args: argparse.Namespace) -> None:
    """Watch the run for the requested minutes, while users come and go."""
    begin = time.monotonic()
    churn_s = begin
    leavers = str(max(1, args.users // CHURN_SHARE))
    for minute in range(args.minutes + 1):
        while time.monotonic() < begin + minute * STEP_S:
            if run.process.poll() is not None:
                outcome.failed("the run ended early")
                return
            if time.monotonic() >= churn_s:
                churn_s += CHURN_S
                control(run, "remove", leavers)
                control(run, "add", leavers)
            time.sleep(0.2)
        memory.step(f"minute {minute}")


def main() -> int:
    """Print the goals and the results."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawTextHelpFormatter
    )
    parser.add_argument("--minutes", type=int, default=30)
    parser.add_argument("--users", type=int, default=20_000)
    parser.add_argument("--metrics", type=int, default=1000)
    parser.add_argument("--throttles", type=int, default=1000)
    parser.add_argument("--rate", type=float, default=10.0, help="slots per second and throttle")
    parser.add_argument("--workers", type=int, default=2)
    parser.add_argument("--settle", type=int, default=10, help="minutes after which growth counts")
    parser.add_argument("--growth", type=float, default=2.0, help="percent that count as stable")
    parser.add_argument(
        "--csv", type=Path, metavar="FILE", help="write a row per minute and process"
    )
    args = parser.parse_args()
    print(machine.describe())
    settings = {
        "names": args.throttles,
        "rate": args.rate,
        "recorded": args.metrics,
        "repeat_interval": 1000,
    }
    scenario = HERE / "long_run_scenario.py"
    with amoc_run(scenario, args.users, args.workers, settings, "--limited-ok") as run:
        run.wait_for("*.first", args.workers, START_S)
        time.sleep(min(SETTLE_S, args.minutes * STEP_S))
        memory = Memory(run.process.pid)
        stay(run, memory, args)
        summary = run.finish(stop=True)
    if args.csv:
        with args.csv.open("w", newline="") as file:
            csv.writer(file).writerows(memory.rows)
    for one in memory.grown(min(args.settle, args.minutes), args.growth):
        outcome.failed(one)
    used = sum(one["executions"] for one in summary["throttles"].values())
    print(f"{summary['users']['started']:,} users started, {used:,} slots used")
    return outcome.exit_code()


if __name__ == "__main__":
    sys.exit(main())
