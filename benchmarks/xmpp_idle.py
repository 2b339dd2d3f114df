"""Does the memory of very many logged-in, idle users stay constant?

``amoc run`` as an operator runs it, against several processes of the embedded server: each user
takes a descriptor on either side, and a process often has only 20,000. The users connect at
--rate from several local addresses. Then nothing happens for --minutes, and the memory of every
process is printed once a minute, with the CPU time that it took since.

Goals: every user connects and stays connected, none raises, and no process grows by more than
--growth percent and 2 MiB, or by a descriptor, from the first minute with all users to the last.

    python -m benchmarks.xmpp_idle [--users 50000] [--minutes 10] [--rate 250]
        [--workers N] [--servers N] [--growth 2]

The exit status says whether the goals were reached.
"""

from __future__ import annotations

import argparse
import json
import re
import subprocess
import sys
import tempfile
import time
from collections import deque
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

from amoc.base.errors import ResourceError
from amoc.results.store.reader import StoredSeries
from benchmarks import outcome
from benchmarks.machine import describe
from benchmarks.memory import Memory

HERE = Path(__file__).resolve().parent
SHORT = ["--users", "20", "--minutes", "0"]
PER_PROCESS = 17_000
"""Users of a worker, connections of a server: below the 20,000 descriptors of a process."""
SOURCES = ",".join(f"127.0.0.{last}" for last in range(2, 10))
START_S = 60.0
STEP_S = 60.0


@contextmanager
def server(connections: int):
    """Run one process of the embedded server; yield its address and its process id."""
    command = [sys.executable, "-m", "amoc", "xmppd", "--port", "0", "--lifeline"]
    command += ["--connections", str(connections)]
    with subprocess.Popen(
        command, cwd=HERE.parent, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as process:
        assert process.stdin is not None
        assert process.stdout is not None
        found = re.search(r"(127\.0\.0\.1:\d+),", process.stdout.readline())
        if found is None:
            raise SystemExit("the embedded server did not start")
        try:
            yield found[1], process.pid
        finally:
            process.stdin.close()


class Run:
    """``amoc run``, and the files it writes."""

    def __init__(self, args: argparse.Namespace, addresses: list[str], directory: Path) -> None:
        self.directory = directory
        self.log = (directory / "output").open("w+")
        command = [sys.executable, "-m", "amoc", "run", str(HERE / "xmpp_idle_scenario.py")]
        command += ["--users", str(args.users), "--workers", str(args.workers)]
        command += ["--run-dir", str(directory / "run"), "--stop-timeout", "120s"]
        command += ["--json", str(directory / "summary.json")]
        for name, value in (
            ("user_rate", f"{60 * args.rate:g}"),  # per minute
            ("xmpp_servers", ",".join(addresses)),
            ("xmpp_source_addresses", SOURCES),
        ):
            command += ["--set", f"{name}={value}"]
        self.process = subprocess.Popen(
            command, cwd=HERE.parent, stdout=self.log, stderr=subprocess.STDOUT
        )

    def second(self) -> dict[str, Any]:
        """Return the run's last second; empty before the first."""
        try:
            last = deque(StoredSeries(self.directory / "run" / "series.amoc"), maxlen=1)
        except ResourceError:
            return {}
        return last[0].to_json() if last else {}

    def stop(self, timeout: float) -> dict[str, Any]:
        """End the run; return its summary."""
        if self.process.poll() is None:
            self.process.terminate()
        try:
            self.process.wait(timeout)
            return json.loads((self.directory / "summary.json").read_text())
        except (subprocess.TimeoutExpired, OSError, ValueError) as error:
            self.process.kill()
            self.process.wait()
            self.log.seek(0)
            print(self.log.read()[-3000:])
            raise SystemExit(f"the run left no summary: {error!r}") from None


def connect_all(run: Run, args: argparse.Namespace) -> list[str]:
    """Wait until all users are connected; return the errors."""
    begin = time.monotonic()
    patience = START_S + 3 * args.users / args.rate
    first = None
    while True:
        second = run.second()
        connected = second.get("gauges", {}).get("connected", 0.0)
        if connected and first is None:
            first = time.monotonic()
        if connected >= args.users:
            assert first is not None
            took = max(time.monotonic() - first, 1.0)
            print(
                f"goal: {args.rate:g} connections/s; got {args.users:,} in {took:.0f} s,"
                f" {args.users / took:.0f}/s",
                flush=True,
            )
            return []
        if run.process.poll() is not None:
            return ["the run ended before all users were connected"]
        if time.monotonic() - begin > patience:
            return [f"after {patience:.0f} s only {connected:,.0f} users were connected"]
        time.sleep(0.5)


def stay(run: Run, memory: Memory, args: argparse.Namespace) -> list[str]:
    """Watch the users for the requested minutes; return the errors."""
    begin = time.monotonic()
    for minute in range(args.minutes + 1):
        while (left := begin + minute * STEP_S - time.monotonic()) > 0:
            if run.process.poll() is not None:
                return ["the run ended early"]
            time.sleep(min(left, 1.0))
        connected = run.second().get("gauges", {}).get("connected", 0.0)
        memory.step(f"minute {minute}, {connected:,.0f} connected")
        if connected < args.users:
            return [f"only {connected:,.0f} users were still connected in minute {minute}"]
    return memory.grown(0, args.growth)


def judge(summary: dict[str, Any], users: int) -> list[str]:
    """Return the errors in the run's own summary."""
    counters, people = summary["counters"], summary["users"]
    wrong = [
        f"{name}: {counters[name]}"
        for name in sorted(counters)
        if name.startswith(("connection_failures", "disconnections")) and counters[name]
    ]
    wrong += [f"users {what}: {people[what]}" for what in ("crashed", "lost") if people[what]]
    print(f"{counters['connections']:,} connections, connection time", end=" ")
    timer = summary["timers"]["connection"]
    outcome.figure("connection time, p50", timer["p50_s"] * 1e3, "ms")
    print(f"p50 {timer['p50_s'] * 1e3:.1f} ms, p99 {timer['p99_s'] * 1e3:.1f} ms")
    if people["started"] < users:
        wrong.append(f"only {people['started']:,} users started")
    return wrong


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--users", type=int, default=50_000)
    parser.add_argument("--minutes", type=int, default=10)
    parser.add_argument("--rate", type=float, default=250.0, help="connections per second")
    parser.add_argument("--workers", type=int, help="default: as few as can hold the users")
    parser.add_argument("--servers", type=int, help="default: as few as can hold the users")
    parser.add_argument("--growth", type=float, default=2.0, help="percent that count as stable")
    args = parser.parse_args()
    needed = -(-args.users // PER_PROCESS)
    args.workers = args.workers or max(needed, 2)
    args.servers = args.servers or needed
    print(describe())
    print(f"{args.users:,} users, {args.workers} workers, {args.servers} processes of the server")
    with ExitStack() as stack:
        directory = Path(stack.enter_context(tempfile.TemporaryDirectory()))
        each = -(-args.users // args.servers) + 500
        servers = [stack.enter_context(server(each)) for _ in range(args.servers)]
        run = Run(args, [address for address, _ in servers], directory)
        try:
            wrong = connect_all(run, args)
            if not wrong:
                of_servers = {pid: f"server {n}" for n, (_, pid) in enumerate(servers)}
                memory = Memory(run.process.pid, of_servers)
                wrong = stay(run, memory, args)
        finally:
            summary = run.stop(300.0)
        wrong += judge(summary, args.users)
    for one in wrong:
        outcome.failed(one)
    return outcome.exit_code()


if __name__ == "__main__":
    sys.exit(main())
