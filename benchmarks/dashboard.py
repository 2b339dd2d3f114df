"""What the page of a long run costs: the browser to draw and update it, the daemon to make it.

Goals, for a run of 12 h with a point per second, in Debian's Chromium: the charts in the window
are drawn within 300 ms of the beginning of the answer, and an update takes at most 50 ms. The
daemon takes at most a tenth of a core, for any number of viewers, once it has read the run's
single seconds.

First draws are measured twice, while the daemon reads and afterwards; so is the cost of reading.

    python -m benchmarks.dashboard [--hours 12] [--timers 20] [--samples 40] [--counters 20]
                                   [--seconds 20] [--viewers 5] [--draws 5]

A run directory is filled as by a run in progress, and a second is added to it each second. A
daemon shows it to a browser, then to several streams.
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

SHORT = ["--hours", "0.05", "--timers", "2", "--seconds", "3", "--viewers", "2", "--draws", "1"]
DRAW_MS, UPDATE_MS, SHARE = 300.0, 50.0, 0.1
"""The goals."""
READY_S = 120.0
FLAGS = ["--no-sandbox", "--disable-gpu"]
DRAWN = """(name) => {
    const [page] = performance.getEntriesByType("navigation");
    const drawn = performance.getEntriesByName(name)[0];
    return drawn ? [drawn.startTime - page.responseStart, drawn.detail] : null;
}"""
"""When something was drawn, in ms after the beginning of the answer, and its detail."""
ANSWERED = "performance.getEntriesByType('navigation')[0].responseStart"
UPDATES = "performance.getEntriesByName('amoc-update').map((one) => one.duration)"


class LiveRun:
    """A run directory to which seconds are added, and that looks like a live run."""

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
        """End the run."""
        self._stopped.set()
        self._listener.close()


@contextmanager
def daemon(base: Path) -> Iterator[tuple[str, int]]:
    """Start a daemon for the runs in `base`; yield its address and its process id."""
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
    """Return the CPU time of a process."""
    fields = Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def listen(address: str) -> None:
    """Read a stream until it ends."""
    with urllib.request.urlopen(address, timeout=READY_S) as stream:
        while stream.readline():
            pass


@dataclass
class Draws:
    """First draws, in ms from the beginning of the daemon's answer.

    Attributes:
        window: Until all charts in the window were drawn.
        charts: Number of these charts.
        whole: Until all charts were drawn.
        cpu: CPU of the page's own thread: a first draw and the work that follows immediately.
    """

    window: list[float] = field(default_factory=list)
    charts: int = 0
    whole: list[float] = field(default_factory=list)
    cpu: list[float] = field(default_factory=list)


@dataclass
class Measured:
    """What the browser and the daemon took.

    Attributes:
        first_s: Until the daemon's first answer, made from the run's minutes.
        first_cpu_s: CPU of the daemon until then, including its start.
        reading_cpu_s: From then until it had read all single seconds, including the requests
            in the meantime.
        charts: Number of charts.
        rows: Number of points of each.
        early: First draws right after the first answer, while the daemon reads.
        late: First draws after it has read everything.
        updates: In ms, including drawing.
        update_cpu: CPU of the page's own thread in a second with an update, in ms.
        shares: CPU of the daemon, in cores, by number of viewers.
    """

    first_s: float = 0.0
    first_cpu_s: float = 0.0
    reading_cpu_s: float = 0.0
    charts: int = 0
    rows: int = 0
    early: Draws = field(default_factory=Draws)
    late: Draws = field(default_factory=Draws)
    updates: list[float] = field(default_factory=list)
    update_cpu: float = 0.0
    shares: dict[int, float] = field(default_factory=dict)


def watch(url: str, pid: int, options: argparse.Namespace) -> Measured:
    """Show the run in a browser, and measure it."""
    from playwright.sync_api import sync_playwright

    found = Measured()
    with sync_playwright() as driver:
        chromium = shutil.which("chromium-headless-shell") or shutil.which("chromium")
        browser = driver.chromium.launch(executable_path=chromium, args=FLAGS)
        page = browser.new_page(viewport={"width": 1280, "height": 900})
        meter = page.context.new_cdp_session(page)
        meter.send("Performance.enable", {"timeDomain": "threadTicks"})

        def busy_ms() -> float:
            told = meter.send("Performance.getMetrics")["metrics"]
            return 1000 * next(one["value"] for one in told if one["name"] == "TaskDuration")

        def drawn(name: str) -> tuple[float, int]:
            while (found := page.evaluate(DRAWN, name)) is None:
                page.wait_for_timeout(20)
            return found

        def draw() -> Draws:
            draws = Draws()
            for _ in range(options.draws):
                page.goto("about:blank")
                before = busy_ms()
                page.goto(f"{url}/dashboard/runs/long#load")
                window_ms, draws.charts = drawn("amoc-drawn")
                draws.cpu.append(busy_ms() - before)
                draws.window.append(window_ms)
                draws.whole.append(drawn("amoc-drawn-all")[0])
            return draws

        page.goto(f"{url}/dashboard/runs/long#load", timeout=1000 * READY_S)
        found.first_s, found.first_cpu_s = page.evaluate(ANSWERED) / 1e3, cpu_s(pid)
        found.early = draw()
        page.wait_for_selector("#reading", state="detached", timeout=1000 * READY_S)
        found.reading_cpu_s = cpu_s(pid) - found.first_cpu_s
        found.late = draw()
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
    """Print the measurements and the goals."""
    update = median(found.updates)
    print(
        f"{found.charts} charts of {found.rows} rows; first made in {found.first_s:.1f} s,"
        f" with {found.first_cpu_s:.1f} s of the daemon's CPU"
    )
    print(f"reading of single seconds: {found.reading_cpu_s:.1f} s of the daemon's CPU")
    for when, draws in (("while it reads", found.early), ("then", found.late)):
        print(
            f"first draw, {when}, of the {draws.charts} charts in the window:"
            f" {median(draws.window):.0f} ms, at most {max(draws.window):.0f}"
            f" (goal: {DRAW_MS:g}), CPU of the page's thread {median(draws.cpu):.0f} ms;"
            f" all charts: {median(draws.whole):.0f} ms"
        )
        if not draws.charts:
            outcome.failed("no chart was in the window")
        outcome.figure(f"first draw, {when}", median(draws.window), "ms")
        outcome.figure(f"first draw, {when}, CPU", median(draws.cpu), "ms")
        outcome.figure(f"all charts drawn, {when}", median(draws.whole), "ms")
    print(
        f"update: {update:.1f} ms, at most {max(found.updates):.1f} of {len(found.updates)}"
        f" (goal: {UPDATE_MS:g}), CPU of the page's thread {found.update_cpu:.1f} ms"
    )
    for viewers, share in found.shares.items():
        print(f"daemon, {viewers} viewers: {share:.1%} of a core (goal: {SHARE:.0%})")
        outcome.figure(f"daemon, {viewers} looking", share, "cores")
    outcome.figure("reading of single seconds, CPU", found.reading_cpu_s, "s")
    outcome.figure("update", update, "ms")
    outcome.figure("update, CPU", found.update_cpu, "ms")
    draw = max(median(found.early.window), median(found.late.window))
    if draw > DRAW_MS or update > UPDATE_MS or max(found.shares.values()) > SHARE:
        outcome.missed("the page took more than the goal")


def main() -> int:
    """Print the goals and the results."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--hours", type=float, default=12.0)
    parser.add_argument("--timers", type=int, default=20)
    parser.add_argument("--samples", type=int, default=40)
    parser.add_argument("--counters", type=int, default=20)
    parser.add_argument("--seconds", type=int, default=20)
    parser.add_argument("--viewers", type=int, default=5)
    parser.add_argument("--draws", type=int, default=5)
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
