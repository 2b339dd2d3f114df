"""How much mail goes from worker to worker, and how fast, in ``amoc run`` as an operator runs it.

Goal: 50,000 messages per second over two workers.

    python -m benchmarks.mail [--rate 1000 50000] [--seconds 5] [--senders 100] [--batch 10]
                                 [--near] [--nodes 2]

With ``--nodes 2`` the two workers are on a node each. Every message goes to the other worker, or
with ``--near`` none does. CPU is user and system time of each process while mail flows, including
the scenario's own work (pacing, clocks, timers). Delivery is from just before send() to just
after receive().
"""

from __future__ import annotations

import argparse
import sys
from typing import Any

from benchmarks import machine, outcome
from benchmarks.amoc_run import HERE, amoc_run

SHORT = ["--rate", "500", "--seconds", "1", "--senders", "10"]
WANTED_PER_S = 50_000
LATE_S = 0.05
"""If users write later than this at the 99th percentile, the figures are doubtful."""
NEARLY = 0.99
"""Share of the rate that must be reached: the last messages take time to arrive."""


def run_once(options: argparse.Namespace, rate: int) -> tuple[dict[str, Any], dict[str, float]]:
    """Return the summary of a run, and each process's CPU seconds while mail flowed."""
    settings = {
        "rate": rate,
        "senders": options.senders,
        "batch": options.batch,
        "seconds": options.seconds,
        "far": not options.near,
        "repeat_num": 1,
    }
    each = 2 // options.nodes
    where = ("--cluster", f"local:{options.nodes}")
    users = 2 * options.senders
    with amoc_run(HERE / "mail_scenario.py", users, each, settings, *where) as run:
        begin = run.wait_for_begin()
        used = run.cpu_between(begin, begin + options.seconds * 0.95)  # nobody has left yet
        return run.finish(), used


def show(options: argparse.Namespace, rate: int) -> None:
    """Run once and print the results."""
    summary, used = run_once(options, rate)
    counters, timers = summary["counters"], summary["timers"]
    late, delivery = timers["sending_lateness"], timers["delivery"]
    took_s = summary["gauges"]["took_s"]
    received = counters.get("mail_received", 0)
    done = delivery["count"] / took_s  # without each user's last message, which only says goodbye
    where = "within workers" if options.near else "between workers"
    others = (f"{kind} {counters.get(f'mail_{kind}', 0)}" for kind in ("refused", "undeliverable"))
    print(
        f"goal: {rate}/s for {options.seconds:g} s, {where}; got {done:.0f}/s:"
        f" sent {counters['mail_sent']}, received {received}, {', '.join(others)}"
    )
    print(f"  lateness: p50 {late['p50_s'] * 1e3:.1f} ms, p99 {late['p99_s'] * 1e3:.1f} ms")
    if late["p99_s"] > LATE_S:
        print("  NO VERDICT: users wrote too late, so the following figures are too good")
    print(
        f"  delivery: p50 {delivery['p50_s'] * 1e3:.2f} ms, p95 {delivery['p95_s'] * 1e3:.2f} ms,"
        f" p99 {delivery['p99_s'] * 1e3:.2f} ms"
    )
    messages = rate * options.seconds * 0.95
    each = ", ".join(f"{name} {s / messages * 1e6:.1f}" for name, s in sorted(used.items()) if s)
    print(f"  CPU per message in µs: {each}; total {sum(used.values()) / messages * 1e6:.1f}")
    outcome.figure(f"CPU per message at {rate}/s", sum(used.values()) / messages * 1e6, "µs")
    outcome.figure(f"delivery at {rate}/s, p99", delivery["p99_s"] * 1e3, "ms")
    if received != counters["mail_sent"]:
        outcome.failed(f"{counters['mail_sent'] - received} messages did not arrive")
    if done < NEARLY * rate or late["p99_s"] > LATE_S:
        outcome.missed(f"{rate}/s were not sent in time")


def main() -> int:
    """Print the goals and the results."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--rate", type=int, nargs="+", default=[1_000, 10_000, WANTED_PER_S])
    parser.add_argument("--seconds", type=float, default=5.0)
    parser.add_argument("--senders", type=int, default=100)
    parser.add_argument("--batch", type=int, default=10)
    parser.add_argument("--near", action="store_true")
    parser.add_argument("--nodes", type=int, choices=(1, 2), default=1)
    options = parser.parse_args()
    print(machine.describe())
    for rate in options.rate:
        show(options, rate)
    return outcome.exit_code()


if __name__ == "__main__":
    sys.exit(main())
