"""Do very many failing logins leave descriptors, objects or memory behind?

One process, one user after another, against the embedded server in a separate process: --times
logins with a wrong password, then as many to a domain that it does not serve, to a port on which
nobody listens, and a few to a name that does not exist. The garbage collector is off meanwhile.

Goals: no more descriptors than before, no object for the collector, and at most --growth MiB
more memory from the first tenth to the end.

    python -m benchmarks.xmpp_failures [--times 20000] [--growth 1]

The exit status says whether the goals were reached.
"""

from __future__ import annotations

import argparse
import gc
import os
import re
import socket
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from amoc import xmpp
from benchmarks import outcome
from benchmarks.machine import describe
from benchmarks.processes import rss_bytes

HERE = Path(__file__).resolve().parent
SHORT = ["--times", "100"]
MIB = 1 << 20


def descriptors() -> int:
    """Return the number of open descriptors."""
    return sum(1 for _ in Path("/proc/self/fd").iterdir())


def failing(address: str, **how: Any) -> Callable[[], str]:
    """Return a function that fails to log in and returns the cause."""

    def act() -> str:
        try:
            xmpp.connect(1, server=address, mechanism="PLAIN", tls="off", attempts=1, **how)
        except xmpp.XmppError as error:
            return error.cause
        raise SystemExit("a login that should fail has succeeded")

    return act


def measure(name: str, act: Callable[[], str], times: int, growth: float) -> None:
    """Fail `times` times, and print what that left behind."""
    for _ in range(times // 10):
        act()
    gc.collect()
    gc.disable()
    open_before, before, begun = descriptors(), rss_bytes(os.getpid()), time.process_time()
    causes = {act() for _ in range(times)}
    seconds = time.process_time() - begun
    grown, left = (rss_bytes(os.getpid()) - before) / MIB, descriptors() - open_before
    garbage = gc.collect()
    gc.enable()
    print(
        f"{name:16} {times:7,} times  {seconds / times * 1e3:6.3f} ms CPU each  {left:+d}"
        f" descriptors  {garbage} objects for the collector  {grown:+.2f} MiB "
        f" {', '.join(sorted(causes))}",
        flush=True,
    )
    outcome.figure(f"{name}, CPU each", seconds / times * 1e3, "ms")
    outcome.figure(f"{name}, memory grown", grown, "MiB")
    if grown > growth or left or garbage:
        outcome.failed(f"{name} leaves something behind")


def main() -> int:
    """Run the program."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--times", type=int, default=20_000)
    parser.add_argument("--growth", type=float, default=1.0, help="MiB")
    options = parser.parse_args()
    print(describe())
    command = [sys.executable, "-m", "amoc", "xmppd", "--port", "0", "--lifeline"]
    with (
        socket.socket() as nobody,
        subprocess.Popen(
            command, cwd=HERE.parent, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
        ) as process,
    ):
        nobody.bind(("127.0.0.1", 0))
        assert process.stdout is not None
        found = re.search(r"(127\.0\.0\.1:\d+),", process.stdout.readline())
        if found is None:
            raise SystemExit("the embedded server did not start")
        closed = f"127.0.0.1:{nobody.getsockname()[1]}"
        kinds = {
            "wrong password": (failing(found[1], password="wrong"), options.times),
            "unknown domain": (failing(found[1], domain="nowhere"), options.times),
            "refused": (failing(closed), options.times),
            "unknown name": (failing("nowhere.invalid:5222"), max(10, options.times // 1000)),
        }
        for name, (act, times) in kinds.items():
            measure(name, act, times, options.growth)
        process.terminate()
    return outcome.exit_code()


if __name__ == "__main__":
    sys.exit(main())
