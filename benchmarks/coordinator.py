"""How many adds coordinators handle, how soon actions follow, how closely a barrier releases users.

Goals: 50,000 adds per second over two workers; at 5,000 per second the action begins within 20 ms
of the completing add at the 95th percentile; all users of a barrier are released within 100 ms of
each other.

    python -m benchmarks.coordinator [--rate 5000 …] [--seconds 5] [--users 100] [--size 2]
                                     [--barrier 20000] [--rounds 3]

Everything is measured in ``amoc run`` as an operator runs it. CPU is user and system time of each
process while users add, including the scenario's own work (pacing, clocks, actions).
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Mapping
from contextlib import AbstractContextManager
from typing import Any

from benchmarks import machine, outcome
from benchmarks.amoc_run import HERE, AmocRun, amoc_run

SHORT = ["--rate", "500", "--seconds", "1", "--users", "10", "--barrier", "200", "--rounds", "1"]
WANTED_PER_S = 50_000
LATE_S = 0.05
"""If users add later than this at the 99th percentile, the figures are doubtful."""


def run(settings: Mapping[str, Any]) -> AbstractContextManager[AmocRun]:
    """Run the scenario on two workers."""
    full = {**settings, "repeat_num": 1}
    return amoc_run(HERE / "coordinator_scenario.py", settings["crowd"], 2, full)


def adds(options: argparse.Namespace, rate: int) -> None:
    settings = {
        "rate": rate,
        "seconds": options.seconds,
        "crowd": options.users,
        # Each user wakes up fifty times a second, whatever the rate.
        "batch": max(1, rate // (50 * options.users)),
        "size": options.size,
    }
    measured_s = options.seconds * 0.95
    with run(settings) as amoc:
        begin = amoc.wait_for_begin()
        used = amoc.cpu_between(begin, begin + measured_s)
        summary = amoc.finish()
    counters, timers = summary["counters"], summary["timers"]
    late, delay = timers["adding_lateness"], timers["coordinator_action_delay"]
    took_s = summary["gauges"]["last_action_s"] - begin
    added, acted = counters["coordinator.groups.adds"], counters["acted"]
    print(
        f"goal: {rate} adds/s for {options.seconds:g} s, groups of {options.size}; got"
        f" {acted / took_s:.0f}/s: added {added}, acted upon {acted}"
    )
    print(f"  lateness of adds: p50 {late['p50_s'] * 1e3:.1f} ms, p99 {late['p99_s'] * 1e3:.1f} ms")
    if late["p99_s"] > LATE_S:
        print("  NO VERDICT: users added too late, so the following figures are too good")
    print(
        f"  from the completing add to its action: p50 {delay['p50_s'] * 1e3:.2f} ms,"
        f" p95 {delay['p95_s'] * 1e3:.2f} ms, p99 {delay['p99_s'] * 1e3:.2f} ms"
    )
    if added - acted >= options.size:
        outcome.failed(f"{added - acted} of {added} adds were not acted upon")
    count = rate * measured_s
    outcome.figure(f"add to action at {rate}/s, p95", delay["p95_s"] * 1e3, "ms")
    outcome.figure(f"CPU per add at {rate}/s", sum(used.values()) / count * 1e6, "µs")
    each = ", ".join(f"{name} {s / count * 1e6:.1f}" for name, s in sorted(used.items()) if s)
    print(f"  CPU per add in µs: {each}; total {sum(used.values()) / count * 1e6:.1f}")


def barrier(options: argparse.Namespace) -> None:
    settings = {"rate": 0, "crowd": options.barrier, "rounds": options.rounds}
    with run(settings) as amoc:
        summary = amoc.finish()
    gauges = summary["gauges"]
    spreads = [
        gauges[f"last_{number}_s"] - gauges[f"first_{number}_s"] for number in range(options.rounds)
    ]
    print(
        f"goal: {options.barrier} users of two workers at a barrier {options.rounds} times; got"
        f" {summary['counters']['barriers.released']} of {options.barrier * options.rounds}"
    )
    released = summary["counters"]["barriers.released"]
    if released != options.barrier * options.rounds:
        outcome.failed(f"only {released} users were released")
    for spread in spreads:
        outcome.figure(f"barrier of {options.barrier}, first to last", spread * 1e3, "ms")
    shown = ", ".join(f"{spread * 1e3:.1f}" for spread in spreads)
    print(f"  from the first user released to the last, in ms: {shown}")


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--rate", type=int, nargs="*", default=[5_000, 20_000, WANTED_PER_S])
    parser.add_argument("--seconds", type=float, default=5.0)
    parser.add_argument("--users", type=int, default=100)
    parser.add_argument("--size", type=int, default=2)
    parser.add_argument("--barrier", type=int, default=20_000)
    parser.add_argument("--rounds", type=int, default=3)
    options = parser.parse_args()
    print(machine.describe())
    for rate in options.rate:
        adds(options, rate)
    if options.barrier:
        barrier(options)
    return outcome.exit_code()


if __name__ == "__main__":
    sys.exit(main())
