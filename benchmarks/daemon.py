"""What `amoc serve` keeps of finished runs: its memory, descriptors and threads after many runs.

Each run is started over REST and followed by its event stream to its end; its summary, report and
log are read. Goal: no more descriptors and threads after the last run than after the first
tenth, and at most 5 % more memory.

    python -m benchmarks.daemon [--runs 50]
"""

from __future__ import annotations

import argparse
import json
import re
import subprocess
import sys
import tempfile
import time
from http.client import HTTPConnection
from pathlib import Path
from typing import Any

from benchmarks import machine, outcome
from benchmarks.amoc_run import HERE
from benchmarks.processes import pss_bytes

SHORT = ["--runs", "2"]
WANTED_GROWTH = 1.05
DEADLINE_S = 120.0
LOOKS = 10
BODY = {"scenario": "idle_scenario", "users": 5, "workers": 1, "duration": "1s"}


class Service:
    """A daemon, and requests to it."""

    def __init__(self, directory: str) -> None:
        self.process = subprocess.Popen(
            [
                *(sys.executable, "-m", "amoc", "serve", "--listen", "0", "--scenarios", str(HERE)),
                *("--runs-dir", f"{directory}/runs", "--uploads", f"{directory}/uploads"),
            ],
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            text=True,
        )
        assert self.process.stdout is not None
        found = re.search(r":(\d+)$", self.process.stdout.readline().strip())
        if found is None:
            raise SystemExit("amoc serve does not answer")
        self.port = int(found[1])

    def ask(self, method: str, path: str, body: object = None) -> bytes:
        """Return the body of an answer; fail unless it is successful."""
        line = HTTPConnection("127.0.0.1", self.port, timeout=DEADLINE_S)
        data = json.dumps(body).encode() if body is not None else None
        line.request(method, path, data, {"Content-Type": "application/json"})
        answer = line.getresponse()
        text = answer.read()
        line.close()
        if answer.status >= 400:
            outcome.failed(f"{method} {path}: {answer.status} {text[:200]!r}")
        return text

    def one_run(self) -> None:
        """Start a run, wait for its end, and read everything that it left."""
        run: Any = json.loads(self.ask("PATCH", "/execution/start", BODY))["run"]
        self.ask("GET", f"/runs/{run}/events")  # ends with the run
        for what in ("summary", "report", "log", "series"):
            self.ask("GET", f"/runs/{run}/{what}")

    def holds(self) -> tuple[float, int, int]:
        """Return memory in MB, descriptors and threads, once nothing runs."""
        proc = Path(f"/proc/{self.process.pid}")
        give_up = time.monotonic() + DEADLINE_S
        while (proc / f"task/{self.process.pid}/children").read_text().strip():
            if time.monotonic() > give_up:
                outcome.failed("processes of a run are still running")
                break
            time.sleep(0.05)
        # The daemon closes a connection a moment after we do.
        looks = []
        for _ in range(LOOKS):
            looks.append([len(list((proc / what).iterdir())) for what in ("fd", "task")])
            time.sleep(0.05)
        descriptors, threads = map(min, zip(*looks, strict=True))
        return pss_bytes([self.process.pid]) / 1e6, descriptors, threads


def main() -> int:
    """Print the goal and the result."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawTextHelpFormatter
    )
    parser.add_argument("--runs", type=int, default=50)
    options = parser.parse_args()
    print(machine.describe())
    step = max(1, options.runs // 10)
    with tempfile.TemporaryDirectory(prefix="amoc-bench-") as directory:
        service = Service(directory)
        seen = []
        try:
            for number in range(1, options.runs + 1):
                service.one_run()
                if number % step == 0:
                    seen.append(service.holds())
                    mb, descriptors, threads = seen[-1]
                    print(
                        f"  after {number:3} runs: {mb:6.1f} MB, {descriptors} descriptors,"
                        f" {threads} threads",
                        flush=True,
                    )
        finally:
            service.process.terminate()
            service.process.wait(DEADLINE_S)
    first, last = seen[0], seen[-1]
    outcome.figure("memory", last[0], "MB")
    outcome.figure("growth of memory", last[0] / first[0], "x")
    outcome.figure("descriptors", last[1], "descriptors")
    for what, before, after in zip(("descriptors", "threads"), first[1:], last[1:], strict=True):
        if after > before:
            outcome.missed(f"goal: {before} {what}, got {after}")
    if last[0] > first[0] * WANTED_GROWTH:
        outcome.missed(f"goal: at most {first[0] * WANTED_GROWTH:.1f} MB, got {last[0]:.1f}")
    return outcome.exit_code()


if __name__ == "__main__":
    sys.exit(main())
