"""What two nodes of one worker cost compared with one node of two: CPU per XMPP message.

Goal: less than 15 % more.

    python -m benchmarks.cluster [--users 200] [--interval 0.2] [--seconds 10] [--rounds 3]

The two are measured alternately. Users of scenarios/xmpp/one_to_one.py write to their neighbours,
half of whom are on the other worker, through a server that the run starts. CPU is that of
controller, nodes, supervisors and workers, without the server. Mail between users of different
nodes costs more: see benchmarks/mail.py.
"""

from __future__ import annotations

import argparse
import statistics
import sys
import time

from benchmarks import machine, outcome
from benchmarks.amoc_run import HERE, amoc_run

SHORT = ["--users", "20", "--seconds", "1", "--rounds", "1", "--settle", "2"]
SCENARIO = HERE.parent / "scenarios/xmpp/one_to_one.py"
LONG_S = 5.0
"""A shorter run proves nothing."""
OURS = ("controller", "node", "supervisor", "worker")
"""Roles of a run's own processes."""
MORE = 1.15
"""Largest acceptable cost of a message on two nodes, relative to one."""


def cost_us(options: argparse.Namespace, nodes: int) -> float:
    """Return the CPU time per message with two workers on `nodes` nodes."""
    settings = {"interval": options.interval}
    duration_s = options.settle + options.seconds + 1
    where = ("--cluster", f"local:{nodes}", "--duration", f"{duration_s}s")
    with amoc_run(SCENARIO, options.users, 2 // nodes, settings, *where) as run:
        begin = time.monotonic() + options.settle
        used = run.cpu_between(begin, begin + options.seconds)
        summary = run.finish()
    ours = {role: s for role, s in used.items() if role.partition(" ")[0] in OURS}
    messages = options.users / options.interval * options.seconds
    each = ", ".join(f"{role} {s / messages * 1e6:.1f}" for role, s in sorted(ours.items()))
    total_us = sum(ours.values()) / messages * 1e6
    print(f"{nodes} node(s): {total_us:.1f} µs per message ({each})", flush=True)
    if options.seconds >= LONG_S and summary["counters"]["messages_sent"] < messages:
        outcome.missed(f"fewer than {messages:.0f} messages were sent")
    return total_us


def main() -> int:
    """Print the cost of a message on one and two nodes, and compare them."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--users", type=int, default=200)
    parser.add_argument("--interval", type=float, default=0.2, help="seconds between two messages")
    parser.add_argument("--seconds", type=float, default=10.0)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--settle", type=float, default=5.0, help="seconds for users to start")
    options = parser.parse_args()
    print(machine.describe())
    found: dict[int, list[float]] = {1: [], 2: []}
    for _ in range(options.rounds):
        for nodes, costs in found.items():
            costs.append(cost_us(options, nodes))
    one, two = (statistics.median(found[nodes]) for nodes in (1, 2))
    print(f"two nodes cost {two / one - 1:+.1%}; goal: less than {MORE - 1:+.0%}")
    outcome.figure("CPU per message on one node", one, "µs")
    outcome.figure("CPU per message on two nodes", two, "µs")
    if options.seconds >= LONG_S and two > MORE * one:
        outcome.missed(f"two nodes cost {two / one - 1:.1%} more")
    return outcome.exit_code()


if __name__ == "__main__":
    sys.exit(main())
