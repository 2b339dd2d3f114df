"""How much mail goes from worker to worker, and how fast: ``amoc run`` as an operator calls it.

Wanted (issue of the load control): 50,000 messages a second, summed over two workers.

    python benchmarks/mailbox.py [--rate 1000 50000] [--seconds 5] [--senders 100] [--batch 10]
                                 [--near]

Every message goes to the other worker, or with ``--near`` none does. CPU is user and system time
of each process while mail flows, the scenario's own work (pacing, clocks, timers) included.
Delivery is from right before send() to right after receive().
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import machine
import processes

HERE = Path(__file__).parent
WANTED_PER_S = 50_000
SETTLE_S = 4.0
"""For processes to start and users to be there, before mail flows."""
LATE_S = 0.05
"""Users that write later than this at the 99th percentile make the figures doubtful."""
NEARLY = 0.99
"""The last messages are still on their way when the time is up."""


def sleep_until(moment: float) -> None:
    time.sleep(max(0.0, moment - time.monotonic()))


def run_once(options: argparse.Namespace, rate: int) -> tuple[dict[str, Any], dict[str, float]]:
    """The summary of a run, and the CPU seconds of each process while mail flowed."""
    begin = time.monotonic() + SETTLE_S
    settings = {
        "rate": rate,
        "senders": options.senders,
        "batch": options.batch,
        "seconds": options.seconds,
        "begin": begin,
        "far": not options.near,
        "repeat_num": 1,
        "user_rate": "infinity",
    }
    with tempfile.TemporaryDirectory() as directory:
        summary = Path(directory) / "summary.json"
        words = [word for name, value in settings.items() for word in ("--set", f"{name}={value}")]
        process = subprocess.Popen(
            [
                *(sys.executable, "-m", "amoc", "run", str(HERE / "mailbox_scenario.py"), *words),
                *("--users", str(2 * options.senders), "--workers", "2", "--json", str(summary)),
            ],
            cwd=directory,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )
        sleep_until(begin)
        names = processes.family(process.pid)
        before = {pid: processes.cpu_s(pid) for pid in names}
        sleep_until(begin + options.seconds * 0.95)  # nobody has left yet
        used = {names[pid]: processes.cpu_s(pid) - before[pid] for pid in names}
        output, _ = process.communicate(timeout=120)
        if process.returncode:
            sys.exit(output)
        return json.loads(summary.read_text()), used


def show(options: argparse.Namespace, rate: int) -> bool:
    """Run once and print what came of it; whether all of it arrived, and in time."""
    summary, used = run_once(options, rate)
    counters, timers = summary["counters"], summary["timers"]
    late, delivery = timers["sending_lateness"], timers["delivery"]
    took_s = summary["gauges"]["took_s"]
    received = counters.get("mail_received", 0)
    done = delivery["count"] / took_s  # without each user's last message, which only says good-bye
    where = "within workers" if options.near else "between workers"
    others = (f"{kind} {counters.get(f'mail_{kind}', 0)}" for kind in ("refused", "undeliverable"))
    print(
        f"wanted {rate}/s for {options.seconds:g} s, {where}; done {done:.0f}/s:"
        f" sent {counters['mail_sent']}, received {received}, {', '.join(others)}"
    )
    print(f"  written late by: p50 {late['p50_s'] * 1e3:.1f} ms, p99 {late['p99_s'] * 1e3:.1f} ms")
    if late["p99_s"] > LATE_S:
        print("  NO VERDICT: users wrote too late, so what follows flatters")
    print(
        f"  delivery: p50 {delivery['p50_s'] * 1e3:.2f} ms, p95 {delivery['p95_s'] * 1e3:.2f} ms,"
        f" p99 {delivery['p99_s'] * 1e3:.2f} ms"
    )
    messages = rate * options.seconds * 0.95
    each = ", ".join(f"{name} {s / messages * 1e6:.1f}" for name, s in sorted(used.items()) if s)
    print(f"  CPU per message in µs: {each}; in all {sum(used.values()) / messages * 1e6:.1f}")
    arrived = received == counters["mail_sent"]
    return arrived and done >= NEARLY * rate and late["p99_s"] < LATE_S


def main() -> int:
    """Print what was wanted and what was done; the exit status says whether it was reached."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--rate", type=int, nargs="+", default=[1_000, 10_000, WANTED_PER_S])
    parser.add_argument("--seconds", type=float, default=5.0)
    parser.add_argument("--senders", type=int, default=100)
    parser.add_argument("--batch", type=int, default=10)
    parser.add_argument("--near", action="store_true")
    options = parser.parse_args()
    print(machine.describe())
    reached = [show(options, rate) for rate in options.rate]
    return 0 if all(reached) else 1


if __name__ == "__main__":
    sys.exit(main())
