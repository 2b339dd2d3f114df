"""What the page of a long run costs: the browser to draw and update it, and the daemon to make it.

Wanted, of a run of 12 h with a point a second: the charts near the window are drawn within 300 ms
of the answer's begin, and an update takes 50 ms at the most, in Debian's Chromium; the daemon takes
a tenth of a core at the most, however many look.

    python -m benchmarks.dashboard [--hours 12] [--timers 20] [--samples 40] [--counters 20]
                                   [--seconds 20] [--viewers 5]

A run directory is filled as by a run that goes on, and a second is added to it each second. A
daemon shows it to a browser, then to several streams beside it.
"""

from __future__ import annotations

import argparse
import os
import re
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import threading
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from statistics import median

from amoc.base.clock import S_NS, now_ns
from amoc.results.journal import Journal
from amoc.results.run_directory import RunDirectory
from amoc.results.store.writer import SeriesWriter
from benchmarks import machine, outcome
from benchmarks.reports import points

SHORT = ["--hours", "0.05", "--timers", "2", "--seconds", "3", "--viewers", "2"]
DRAW_MS, UPDATE_MS, SHARE = 300.0, 50.0, 0.1
"""What is wanted."""
READY_S = 120.0
FLAGS = ["--no-sandbox", "--disable-gpu"]
FIRST_DRAW = """() => {
    const [page] = performance.getEntriesByType("navigation");
    const drawn = performance.getEntriesByName("amoc-drawn")[0];
    return drawn ? [page.responseStart, drawn.startTime - page.responseStart] : null;
}"""


class LiveRun:
    """A run directory to which seconds are added, and that looks alive."""

    def __init__(self, base: Path, options: argparse.Namespace) -> None:
        self.directory = RunDirectory(base / "long")
        self.directory.path.mkdir(parents=True)
        self._writer = SeriesWriter(self.directory.series)
        self._points = points(argparse.Namespace(**{**vars(options), "hours": 10_000.0}), 1)
        journal = Journal(self.directory.journal)
        journal.write("run", id="long", scenario="chat.py")
        length = round(options.hours * 3600)
        journal.begin(now_ns() - length * S_NS)
        journal.close()
        for _ in range(length):
            self._writer.write(next(self._points))
        self._listener = socket.socket(socket.AF_UNIX)
        self._listener.bind(str(self.directory.control))
        self._listener.listen(128)
        self._stopped = threading.Event()
        threading.Thread(target=self._go_on, daemon=True).start()

    def _go_on(self) -> None:
        while not self._stopped.wait(1.0):
            self._writer.write(next(self._points))

    def close(self) -> None:
        """It ends."""
        self._stopped.set()
        self._listener.close()


@contextmanager
def daemon(base: Path) -> Iterator[tuple[str, int]]:
    """A daemon for the runs in `base`: its address, and its process id."""
    (base / "scenarios").mkdir()
    with subprocess.Popen(
        [sys.executable, "-m", "amoc", "serve", "--listen", "0", "--runs-dir", str(base)],
        stdout=subprocess.PIPE,
        text=True,
        cwd=base,
        env={**os.environ, "PYTHONPATH": str(Path(__file__).parents[1])},
    ) as process:
        try:
            assert process.stdout is not None
            found = re.search(r"http://\S+", process.stdout.readline())
            assert found is not None, "the daemon has not started"
            yield found[0], process.pid
        finally:
            process.send_signal(signal.SIGTERM)


def cpu_s(pid: int) -> float:
    """CPU time of a process."""
    fields = Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def listen(address: str) -> None:
    """Take a stream until it ends."""
    with urllib.request.urlopen(address, timeout=READY_S) as stream:
        while stream.readline():
            pass


def watch(url: str, pid: int, options: argparse.Namespace) -> None:
    """Have a browser show the run, and print what that took."""
    from playwright.sync_api import sync_playwright

    with sync_playwright() as driver:
        chromium = shutil.which("chromium")
        browser = driver.chromium.launch(executable_path=chromium, args=FLAGS)
        page = browser.new_page(viewport={"width": 1280, "height": 900})
        page.goto(f"{url}/dashboard/runs/long", timeout=1000 * READY_S)
        first_s = page.evaluate("performance.getEntriesByType('navigation')[0].responseStart") / 1e3
        draws = []
        for _ in range(5):
            page.goto(f"{url}/dashboard/runs/long#load")
            page.reload()
            while (found := page.evaluate(FIRST_DRAW)) is None:
                page.wait_for_timeout(20)
            draws.append(found[1])
        before = cpu_s(pid)
        page.wait_for_timeout(1000 * options.seconds)
        one = (cpu_s(pid) - before) / options.seconds
        updates = page.evaluate(
            "performance.getEntriesByName('amoc-update').map((x) => x.duration)"
        )
        rows = page.evaluate("amocReport.page.data.times.length")
        charts = page.evaluate("Object.keys(amocReport.page.data.charts).length")
        for _ in range(options.viewers - 1):
            address = f"{url}/dashboard/runs/long/events?after=0"
            threading.Thread(target=listen, args=(address,), daemon=True).start()
        page.wait_for_timeout(2000)
        before = cpu_s(pid)
        page.wait_for_timeout(1000 * options.seconds)
        many = (cpu_s(pid) - before) / options.seconds
        browser.close()
    tell(options, first_s, rows, charts, draws, updates, one, many)


def tell(
    options: argparse.Namespace,
    first_s: float,
    rows: int,
    charts: int,
    draws: list[float],
    updates: list[float],
    one: float,
    many: float,
) -> None:
    """Print what was measured, beside what was wanted."""
    print(f"{charts} charts of {rows} rows; the page was first made in {first_s:.1f} s")
    print(f"first draw: {median(draws):.0f} ms, at most {max(draws):.0f} (wanted: {DRAW_MS:g})")
    print(
        f"update: {median(updates):.1f} ms, at most {max(updates):.1f} of {len(updates)}"
        f" (wanted: {UPDATE_MS:g})"
    )
    print(
        f"daemon: {one:.1%} of a core for one viewer, {many:.1%} for {options.viewers}"
        f" (wanted: {SHARE:.0%})"
    )
    outcome.figure("first draw", median(draws), "ms")
    outcome.figure("update", median(updates), "ms")
    outcome.figure("daemon, one viewer", one, "cores")
    outcome.figure(f"daemon, {options.viewers} viewers", many, "cores")
    if median(draws) > DRAW_MS or max(updates) > UPDATE_MS or max(one, many) > SHARE:
        outcome.missed("the page took more than was wanted")


def main() -> int:
    """Print what was wanted and what it took."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--hours", type=float, default=12.0)
    parser.add_argument("--timers", type=int, default=20)
    parser.add_argument("--samples", type=int, default=40)
    parser.add_argument("--counters", type=int, default=20)
    parser.add_argument("--seconds", type=int, default=20)
    parser.add_argument("--viewers", type=int, default=5)
    options = parser.parse_args()
    print(machine.describe(), flush=True)
    base = Path(tempfile.mkdtemp(prefix="amoc-dash-"))
    try:
        run = LiveRun(base, options)
        try:
            with daemon(base) as (url, pid):
                watch(url, pid, options)
        finally:
            run.close()
    finally:
        shutil.rmtree(base)
    return outcome.exit_code()


if __name__ == "__main__":
    sys.exit(main())
