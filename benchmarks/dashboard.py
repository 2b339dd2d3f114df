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
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from statistics import median
from typing import Any

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

ANSWERED = "performance.getEntriesByType('navigation')[0].responseStart"
UPDATES = "performance.getEntriesByName('amoc-update').map((one) => one.duration)"


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
        for work in (self._go_on, self._answer):
            threading.Thread(target=work, daemon=True).start()

    def _go_on(self) -> None:
        while not self._stopped.wait(1.0):
            self._writer.write(next(self._points))

    def _answer(self) -> None:
        with suppress(OSError):  # closed
            while True:
                self._listener.accept()[0].close()

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


@dataclass
class Measured:
    """What the browser and the daemon took.

    Attributes:
        first_s: Until the daemon answered for the first time, which has read all of the run then.
        charts: How many there were.
        rows: How many points each had.
        draws: First draws, in ms.
        updates: In ms, drawing included.
        draw_cpu: The page's own thread, in ms of CPU: a first draw and what follows at once.
        update_cpu: The same for a second with an update.
        shares: CPU of the daemon, of a core, by how many looked.
    """

    first_s: float = 0.0
    charts: int = 0
    rows: int = 0
    draws: list[float] = field(default_factory=list)
    updates: list[float] = field(default_factory=list)
    draw_cpu: list[float] = field(default_factory=list)
    update_cpu: float = 0.0
    shares: dict[int, float] = field(default_factory=dict)


def watch(url: str, pid: int, options: argparse.Namespace) -> Measured:
    """Have a browser show the run; what that took."""
    from playwright.sync_api import sync_playwright

    found = Measured()
    with sync_playwright() as driver:
        chromium = shutil.which("chromium")
        browser = driver.chromium.launch(executable_path=chromium, args=FLAGS)
        page = browser.new_page(viewport={"width": 1280, "height": 900})
        meter = page.context.new_cdp_session(page)
        meter.send("Performance.enable", {"timeDomain": "threadTicks"})

        def busy_ms() -> float:
            told = meter.send("Performance.getMetrics")["metrics"]
            return 1000 * next(one["value"] for one in told if one["name"] == "TaskDuration")

        page.goto(f"{url}/dashboard/runs/long#load", timeout=1000 * READY_S)
        found.first_s = page.evaluate(ANSWERED) / 1e3
        for _ in range(5):
            page.goto("about:blank")
            before = busy_ms()
            page.goto(f"{url}/dashboard/runs/long#load")
            while (drawn := page.evaluate(FIRST_DRAW)) is None:
                page.wait_for_timeout(20)
            found.draws.append(drawn[1])
            found.draw_cpu.append(busy_ms() - before)
        page.wait_for_timeout(3000)  # charts far from the window are drawn
        count, busy = len(page.evaluate(UPDATES)), busy_ms()
        found.shares[1] = _share(page, pid, options.seconds)
        found.updates = page.evaluate(UPDATES)[count:]
        found.update_cpu = (busy_ms() - busy) / max(1, len(found.updates))
        found.rows = page.evaluate("amocReport.page.data.times.length")
        found.charts = page.evaluate("Object.keys(amocReport.page.data.charts).length")
        for _ in range(options.viewers - 1):
            address = f"{url}/dashboard/runs/long/events?after=0"
            threading.Thread(target=listen, args=(address,), daemon=True).start()
        page.wait_for_timeout(2000)
        found.shares[options.viewers] = _share(page, pid, options.seconds)
        browser.close()
    return found


def _share(page: Any, pid: int, seconds: int) -> float:
    before = cpu_s(pid)
    page.wait_for_timeout(1000 * seconds)
    return (cpu_s(pid) - before) / seconds


def tell(found: Measured) -> None:
    """Print what was measured, beside what was wanted."""
    draw, update = median(found.draws), median(found.updates)
    print(f"{found.charts} charts of {found.rows} rows; first made in {found.first_s:.1f} s")
    print(
        f"first draw: {draw:.0f} ms, at most {max(found.draws):.0f} (wanted: {DRAW_MS:g}),"
        f" CPU of the page's thread {median(found.draw_cpu):.0f} ms"
    )
    print(
        f"update: {update:.1f} ms, at most {max(found.updates):.1f} of {len(found.updates)}"
        f" (wanted: {UPDATE_MS:g}), CPU of the page's thread {found.update_cpu:.1f} ms"
    )
    for viewers, share in found.shares.items():
        print(f"daemon, {viewers} looking: {share:.1%} of a core (wanted: {SHARE:.0%})")
        outcome.figure(f"daemon, {viewers} looking", share, "cores")
    outcome.figure("first draw", draw, "ms")
    outcome.figure("first draw, CPU", median(found.draw_cpu), "ms")
    outcome.figure("update", update, "ms")
    outcome.figure("update, CPU", found.update_cpu, "ms")
    if draw > DRAW_MS or update > UPDATE_MS or max(found.shares.values()) > SHARE:
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
                tell(watch(url, pid, options))
        finally:
            run.close()
    finally:
        shutil.rmtree(base)
    return outcome.exit_code()


if __name__ == "__main__":
    sys.exit(main())
