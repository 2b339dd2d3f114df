"""What reading a long run back costs: time, CPU and memory of ``amoc report`` and ``compare``.

Goals for 12 h with 100 timers of 40 samples per second and 20 counters: a report takes at most 5 s
of CPU and 150 MB, a comparison of two such runs 10 s. An hour of 500 timers and 500 counters takes
at most 80 MB of disk.

    python -m benchmarks.reports [--hours 12] [--timers 100] [--samples 40] [--counters 20]
                                 [--commands report rebuild compare export]

Two runs are written to a separate directory, without their reports, by the code that does so in a
run. Then each command runs as a separate process and reports its CPU time and its peak resident
memory.
``rebuild`` is ``report`` of a run that was killed: its summary is rebuilt.
"""

from __future__ import annotations

import argparse
import random
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from math import log
from pathlib import Path

from amoc.base.clock import S_NS, now_ns
from amoc.base.errors import ExitCode
from amoc.metrics.health_figures import NodePoint, WorkerPoint
from amoc.metrics.histogram import Histogram
from amoc.metrics.timer_block import TimerBlock
from amoc.results.journal import Journal
from amoc.results.run_directory import RunDirectory
from amoc.results.series import Point, ThrottlePoint
from amoc.results.store.writer import SeriesWriter
from benchmarks import machine, outcome

SHORT = ["--hours", "0.05", "--timers", "2"]
WANTED = {"report": (5.0, 150), "compare": (10.0, None)}
"""Seconds of CPU and MB, for the run described above."""
WANTED_MB = 80.0
BEGAN_AT = 1_790_000_000.0
GOOD = (ExitCode.OK, ExitCode.GENERATOR_LIMITED, ExitCode.INCOMPLETE)
"""The last one is for a run that was killed."""
KINDS = 60
"""Making new durations each second would take hours."""


def timers(options: argparse.Namespace, draw: random.Random) -> list[TimerBlock]:
    """Return the durations of all timers that seconds use in rotation, packed as in a run."""
    kinds = [
        (draw.uniform(log(1e6), log(500e6)), draw.uniform(0.3, 0.8)) for _ in range(options.timers)
    ]

    def durations(middle: float, spread: float) -> Histogram:
        return Histogram.of(
            int(draw.lognormvariate(middle, spread)) for _ in range(options.samples)
        )

    return [
        TimerBlock.of({f"timer_{n}": durations(*kind) for n, kind in enumerate(kinds)})
        for _ in range(KINDS)
    ]


def points(options: argparse.Namespace, seed: int) -> Iterator[Point]:
    """Yield the seconds of a run."""
    draw = random.Random(seed)
    kinds = timers(options, draw)
    for second in range(1, round(options.hours * 3600) + 1):
        users = min(1000, 10 * second)
        yield Point(
            t_s=float(second),
            span_s=1.0,
            at=BEGAN_AT + second,
            users={"running": users, "waiting": 1000 - users, "started": users, "peak": users},
            counters={f"counter_{n}": draw.randrange(1, 1000) for n in range(options.counters)},
            gauges={f"gauge_{n}": draw.random() for n in range(3)},
            timers=draw.choice(kinds),
            throttles={"rounds": ThrottlePoint(6000.0, 60.0, "run", 100, 100, 0, 5)},
            workers=[
                WorkerPoint(
                    "node0",
                    worker,
                    users=500,
                    cpu=draw.random() / 2,
                    lag_p99_s=draw.random() / 1e3,
                    rss_bytes=90 << 20,
                    users_peak=500,
                    cpu_s=second / 4,
                    max_rss_bytes=90 << 20,
                    loop_lag_p99_s=1e-3,
                )
                for worker in range(2)
            ],
            nodes=[NodePoint("node0", cpu=draw.random(), memory_bytes=1 << 34)],
            controller_cpu=0.05,
            controller_lag_s=0.002,
        )


def leave(path: Path, options: argparse.Namespace, seed: int) -> tuple[int, float]:
    """Write a run directory with journal and series; return bytes of the series, CPU seconds."""
    path.mkdir()
    directory, spent = RunDirectory(path), 0.0
    writer = SeriesWriter(directory.series)
    journal = Journal(directory.journal)
    journal.write("run", id=path.name, scenario="chat.py")
    for point in points(options, seed):
        begin = time.process_time()
        writer.write(point)
        spent += time.process_time() - begin
    journal.begin(now_ns() - round(options.hours * 3600 * S_NS))
    journal.write("end", verdict="ok", exit_code=0, records=writer.records)
    for file in (writer, journal):
        if file.missing:
            outcome.failed(file.missing)
        file.close()
    return directory.series.stat().st_size, spent


_CHILD = """
import resource, sys
from amoc.cli.main import main
try:
    main()
finally:
    used = resource.getrusage(resource.RUSAGE_SELF)
    peak = next(line for line in open("/proc/self/status") if line.startswith("VmHWM"))
    print("USED", used.ru_utime + used.ru_stime, int(peak.split()[1]) // 1024, file=sys.stderr)
"""


def measure(name: str, arguments: list[str], limits: tuple[float, int | None] | None) -> None:
    """Run a command, and print its cost."""
    begin = time.monotonic()
    done = subprocess.run(
        [sys.executable, "-c", _CHILD, *arguments], capture_output=True, text=True, check=False
    )
    took_s = time.monotonic() - begin
    if done.returncode not in GOOD or "USED" not in done.stderr:
        outcome.failed(f"{name} ended with {done.returncode}: {done.stderr[-2000:]}")
        return
    cpu_s, peak_mb = done.stderr.rsplit("USED", 1)[1].split()
    wanted = ""
    if limits is not None:
        most_s, most_mb = limits
        if float(cpu_s) > most_s or (most_mb is not None and int(peak_mb) > most_mb):
            outcome.missed(f"{name} took more than the goal")
        wanted = f" (goal: {most_s:g} s of CPU{f', {most_mb} MB' if most_mb else ''})"
    print(
        f"{name}: {took_s:.1f} s, {float(cpu_s):.1f} s of CPU, at most {peak_mb} MB{wanted}",
        flush=True,
    )
    outcome.figure(f"{name}, CPU", float(cpu_s), "s")
    outcome.figure(f"{name}, memory", float(peak_mb), "MB")


def main() -> int:
    """Print the goals and the results."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--hours", type=float, default=12.0)
    parser.add_argument("--timers", type=int, default=100)
    parser.add_argument("--samples", type=int, default=40)
    parser.add_argument("--counters", type=int, default=20)
    parser.add_argument("--commands", nargs="*", default=["report", "rebuild", "compare", "export"])
    options = parser.parse_args()
    print(machine.describe(), flush=True)
    place = Path(tempfile.mkdtemp(prefix="amoc-reports-"))
    try:
        first, second = place / "a", place / "b"
        leave(first, options, 1)
        size, spent = leave(second, options, 2)
        hourly, cost = size / options.hours / 1e6, spent / options.hours / 3.6
        print(
            f"two runs of {options.hours:g} h, {options.timers} timers of {options.samples} samples"
            f" per second, {options.counters} counters: {hourly:,.1f} MB of series per hour,"
            f" {cost:.2f} ms of CPU per second to write it",
            flush=True,
        )
        outcome.figure("series", hourly, "MB/h")
        outcome.figure("writing, CPU", cost, "ms/s")
        if hourly > WANTED_MB:
            outcome.missed("a run's data is larger than the goal")
        for name in options.commands:
            measure(name, arguments(name, first, second, place), WANTED.get(name))
    finally:
        shutil.rmtree(place)
    return outcome.exit_code()


def arguments(name: str, first: Path, second: Path, place: Path) -> list[str]:
    """Parse the command line; check that its inputs exist and its outputs do not."""
    summaries = [one / "summary.json" for one in (first, second)]
    if name == "rebuild":
        summaries[0].unlink(missing_ok=True)
        return ["report", str(first), "--output", str(place / "rebuilt.html")]
    for one in summaries:
        if not one.exists():
            made = subprocess.run(
                [sys.executable, "-m", "amoc", "report", str(one.parent)],
                check=False,
                capture_output=True,
                text=True,
            )
            if made.returncode not in GOOD:
                sys.exit(f"amoc report ended with {made.returncode}: {made.stderr[-2000:]}")
    if name == "report":
        return ["report", str(first), "--output", str(place / "report.html")]
    if name == "compare":
        return ["compare", str(first), str(second), "--output", str(place / "compare.html")]
    return ["export", str(first), "--csv", "--output", str(place / "seconds.csv")]


if __name__ == "__main__":
    sys.exit(main())
