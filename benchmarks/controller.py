"""What many nodes cost their controller: CPU, memory, loop holds, bytes, and the first limit.

The controller is real, `amoc run --cluster join`. Its nodes are fake (benchmarks/fake_nodes.py):
they run nothing, but send over the real, encrypted bus what nodes with so many workers send. Goal:
1,000 nodes of 32 workers take less than one core.

    python -m benchmarks.controller [--nodes 1000] [--workers 32] [--users 100000] [--rate 10000]
                                    [--counters 20] [--timers 5] [--seconds 20] [--processes 2]

Fake nodes take CPU, too, so with few cores the controller may be late; its own CPU time does not
change. Everything that the nodes have counted must be in the run's summary.
"""

from __future__ import annotations

import argparse
import json
import os
import re
import resource
import secrets
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any, TypeVar

from amoc.base.clock import S_NS
from amoc.results.run_directory import locate
from amoc.results.saved_run import load
from amoc.runtime.remote import fencing
from benchmarks import machine, outcome
from benchmarks.amoc_run import HERE, AmocRun, amoc_run
from benchmarks.processes import exact_cpu_s, rss_bytes

SHORT = ["--nodes", "8", "--workers", "4", "--users", "100", "--rate", "200", "--seconds", "1"]
NEEDS = ["ss"]
SCENARIO = HERE / "controller_scenario.py"
JOIN_S = 300.0
CORE = 1.0
"""Goal for the controller's CPU, in cores."""
THROTTLE = "turns"
LONG_S = 5.0
"""A shorter run proves nothing."""
LISTENING = re.compile(r"waiting for .* at (tcp://\S+)")

T = TypeVar("T")


def eventually(condition: Callable[[], T], run: AmocRun, what: str) -> T:
    """Wait until a condition holds, and return its value; at most as long as the run lasts."""
    give_up = time.monotonic() + JOIN_S
    while not (found := condition()):
        if time.monotonic() > give_up or run.process.poll() is not None:
            told = (run.directory / "output").read_text()[-3000:]
            outcome.failed(f"{what} within {JOIN_S:g} s:\n{told}")
            sys.exit(outcome.Exit.FAILED)
        time.sleep(0.02)
    return found


@contextmanager
def fakes(
    options: argparse.Namespace, controller: str, secret: Path, directory: Path
) -> Iterator[list[int]]:
    """Start fake nodes in a few processes; yield the process ids."""
    each = -(-options.nodes // options.processes)
    started = []
    for first in range(0, options.nodes, each):
        told = {
            "controller": controller,
            "secret_file": str(secret),
            "first": first,
            "nodes": min(each, options.nodes - first),
            "workers": options.workers,
            "rate": options.rate,
            "counters": options.counters,
            "timers": options.timers,
            "counted": str(directory / f"{first}.counted"),
        }
        command = [sys.executable, "-m", "benchmarks.fake_nodes", json.dumps(told)]
        started.append(subprocess.Popen(command, cwd=HERE.parent))
    try:
        yield [process.pid for process in started]
        for process in started:
            if process.wait(JOIN_S):
                outcome.failed(f"fake nodes ended with code {process.returncode}")
    finally:
        for process in started:
            if process.poll() is None:
                process.kill()
                process.wait()


def threads_s(pid: int) -> dict[str, float]:
    """Return the CPU time of a process: of its main thread, and of ZeroMQ's threads."""
    found = {"main": 0.0, "ZeroMQ": 0.0}
    for thread in Path(f"/proc/{pid}/task").iterdir():
        used = int((thread / "schedstat").read_text().split()[0]) / S_NS
        found["main" if int(thread.name) == pid else "ZeroMQ"] += used
    return found


def bytes_of(ports: range) -> int:
    """Return the bytes sent and received on connections to ports of this host."""
    where = " or ".join(f"sport = :{port}" for port in ports)
    command = ["ss", "-tinH", "state", "established", f"( {where} )"]
    told = subprocess.run(command, capture_output=True, text=True, check=True).stdout
    return sum(map(int, re.findall(r"\bbytes_(?:sent|received):(\d+)", told)))


def free_ports() -> int:
    """Return the first of five consecutive free ports."""
    told = subprocess.run(["ss", "-tanH"], capture_output=True, text=True, check=True).stdout
    taken = {int(port) for port in re.findall(r":(\d+)\s", told)}
    return next(port for port in range(21000, 32000, 5) if not taken & {*range(port, port + 5)})


def measure(
    options: argparse.Namespace, run: AmocRun, ports: range, fakes: list[int]
) -> dict[str, float]:
    """Return what the controller takes per second while users run."""
    control = run.directory / "run"
    eventually(lambda: [*control.glob("**/control*")], run, "not all workers were up")
    pid = run.process.pid
    start_s = time.monotonic() - run.started
    start_cpu = exact_cpu_s(pid)
    time.sleep(options.settle)
    before, sent, at = threads_s(pid), bytes_of(ports), time.monotonic()
    fakes_s = sum(map(exact_cpu_s, fakes))
    time.sleep(options.seconds)
    fakes_s = sum(map(exact_cpu_s, fakes)) - fakes_s
    after, received, span_s = threads_s(pid), bytes_of(ports), time.monotonic() - at
    return {
        "main": (after["main"] - before["main"]) / span_s,
        "ZeroMQ": (after["ZeroMQ"] - before["ZeroMQ"]) / span_s,
        "fakes": fakes_s / span_s,
        "memory": rss_bytes(pid) / 1e6,
        "descriptors": len(list(Path(f"/proc/{pid}/fd").iterdir())),
        "bytes": (received - sent) / span_s,
        "start_s": start_s,
        "start_cpu": start_cpu,
    }


def limits(options: argparse.Namespace, found: dict[str, float], late_s: float) -> None:
    """Print at how many nodes each limit is reached, assuming linear growth."""
    nodes = options.nodes
    orphaned_s = fencing.ORPHANED_NS / S_NS
    memory = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 1e6
    descriptors = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
    at = {
        "CPU of the controller's thread (one core)": nodes / found["main"],
        "CPU of ZeroMQ's thread (one core)": nodes / found["ZeroMQ"],
        f"memory ({memory / 1e3:.0f} GB)": nodes * memory / found["memory"],
        f"descriptors ({descriptors:,})": nodes * descriptors / found["descriptors"],
        "a 1 Gbit/s line": nodes * 125e6 / found["bytes"],
        f"beats that come back after {orphaned_s:g} s": nodes * orphaned_s / late_s,
    }
    print("number of nodes at which each limit is reached, assuming linear growth:")
    for what, number in sorted(at.items(), key=lambda one: one[1]):
        print(f"  {number:10,.0f} nodes: {what}")


def check(options: argparse.Namespace, summary: Mapping[str, Any], fakes: list[Any]) -> None:
    """Fail if something that nodes have counted is not in the summary."""
    samples = sum(one["samples"] for one in fakes)
    told = {"users": (summary["users"]["started"], options.users)}
    for number in range(options.counters):
        told[f"counter_{number}"] = summary["counters"].get(f"counter_{number}"), samples
    if options.rate:
        passed = summary["throttles"][THROTTLE]["executions"]
        told["slots"] = passed, sum(one["passed"] for one in fakes)
    for what, (summed, counted) in told.items():
        if summed != counted:
            outcome.failed(f"{what}: nodes have counted {counted}, the summary has {summed}")


def main() -> int:
    """Print what the controller takes, and the first limit."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawTextHelpFormatter
    )
    parser.add_argument("--nodes", type=int, default=1000)
    parser.add_argument("--workers", type=int, default=32, help="per node")
    parser.add_argument("--users", type=int, default=100_000)
    parser.add_argument("--rate", type=float, default=10_000, help="slots per second of a throttle")
    parser.add_argument("--counters", type=int, default=20)
    parser.add_argument("--timers", type=int, default=5, help="with 40 cells per second each")
    parser.add_argument("--seconds", type=float, default=20.0)
    parser.add_argument("--settle", type=float, default=5.0, help="seconds for users to start")
    parser.add_argument("--processes", type=int, default=2, help="processes of fake nodes")
    options = parser.parse_args()
    if options.seconds < LONG_S:
        options.settle = 1.0
    print(machine.describe())
    ports = range(first := free_ports(), first + 5)
    duration_s = options.settle + options.seconds + 2
    where = ["--cluster", "join", "--nodes", str(options.nodes), "--bind", f"127.0.0.1:{first}"]
    times = ["--join-timeout", f"{JOIN_S:g}s", "--duration", f"{duration_s:g}s"]
    with tempfile.TemporaryDirectory(prefix="amoc-benchmark-") as own:
        secret = Path(own) / "secret"
        secret.touch(0o600)
        secret.write_text(secrets.token_hex(32))
        where += ["--secret-file", str(secret), "--limited-ok"]
        with amoc_run(SCENARIO, options.users, options.workers, {}, *where, *times) as run:
            output = run.directory / "output"
            (controller,) = eventually(
                lambda: LISTENING.findall(output.read_text()), run, "the run did not listen"
            )
            with fakes(options, controller, secret, Path(own)) as pids:
                found = measure(options, run, ports, pids)
                summary = run.finish()
            points = load(locate(str(run.directory / "run"))).points
            holds = sorted(point.controller_lag_s for point in points)
        counted = [json.loads(one.read_text()) for one in Path(own).glob("*.counted")]
    late_s = max(one["late_s"] for one in counted)
    total = found["main"] + found["ZeroMQ"]
    half, most = holds[len(holds) // 2] * 1e3, holds[-1] * 1e3
    shares = f"{found['main']:.1%} its own thread, {found['ZeroMQ']:.1%} ZeroMQ's"
    print(f"{options.nodes} nodes of {options.workers} workers, {options.users} users")
    print(f"  all nodes up after {found['start_s']:.1f} s and {found['start_cpu']:.1f} s of CPU")
    print(f"  CPU: {total:.1%} of a core, {shares}; the fake nodes' {found['fakes']:.1%}")
    print(f"  memory: {found['memory']:.0f} MB, descriptors: {found['descriptors']:.0f}")
    print(f"  traffic on its connections: {found['bytes'] / 1e6:.2f} MB/s")
    print(f"  loop lag: {half:.0f} ms in the median second, {most:.0f} ms at most")
    print(f"  longest round trip of a keeper's beat: {late_s * 1e3:.0f} ms")
    limits(options, found, late_s)
    check(options, summary, counted)
    outcome.figure("CPU of the controller", total, "cores")
    outcome.figure("CPU of its own thread", found["main"], "cores")
    outcome.figure("memory", found["memory"], "MB")
    outcome.figure("bytes", found["bytes"], "/s")
    outcome.figure("longest hold of its loop", holds[-1], "s")
    if options.seconds >= LONG_S and total > CORE:
        outcome.missed(f"goal: less than {CORE:g} core, got {total:.2f}")
    return outcome.exit_code()


if __name__ == "__main__":
    sys.exit(main())
