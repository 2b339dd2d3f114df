"""What it costs to read a long run back: time, CPU and memory of ``amoc report`` and ``compare``.

Wanted, of 12 h with 10 timers, each with durations in about 100 cells a second, and 20 counters:
a report in less than 60 s with less than 400 MB, a comparison of two such runs with less than 1 GB.

    python -m benchmarks.reports [--hours 12] [--timers 10] [--cells 100] [--counters 20]
                                 [--commands report rebuild compare export]

Two runs are left in a directory of their own, without their reports. Then each command runs as a
process of its own, and says what it used: CPU time, and the most memory that it had resident.
``rebuild`` is ``report`` of a run that was killed: its summary is made anew.
"""

from __future__ import annotations

import argparse
import json
import random
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

from amoc.base.errors import ExitCode
from amoc.metrics.health_figures import NodePoint, WorkerPoint
from amoc.metrics.histogram import Histogram
from amoc.results.series import Point, ThrottlePoint
from benchmarks import machine, outcome

SHORT = ["--hours", "0.05", "--timers", "2"]
WANTED = {"report": (60.0, 400), "rebuild": (60.0, 400), "compare": (None, 1000)}
"""Seconds and MB, of the run described above."""
BEGAN_AT = 1_790_000_000.0
GOOD = (ExitCode.OK, ExitCode.GENERATOR_LIMITED, ExitCode.INCOMPLETE)
"""The last is that of a run that was killed."""
KINDS = 60
"""Histograms that timers take turns with; making a new one each second would take hours."""


def timers(options: argparse.Namespace, draw: random.Random) -> list[Histogram]:
    """Histograms with about so many cells each, around durations that differ."""
    kinds = []
    for _ in range(KINDS):
        middle, kind = draw.randrange(1500, 2200), Histogram()
        for _ in range(options.cells):
            cell = max(0, int(draw.gauss(middle, options.cells)))
            kind.add({cell: draw.randrange(1, 60)}, 0)
        kind.max_ns = 40_000_000_000
        kinds.append(kind)
    return kinds


def points(options: argparse.Namespace, seed: int) -> Iterator[Point]:
    """The seconds of a run."""
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
            timers={f"timer_{n}": draw.choice(kinds) for n in range(options.timers)},
            throttles={"rounds": ThrottlePoint(6000.0, 60.0, "run", 100, 100, 0, 5)},
            workers=[
                WorkerPoint(
                    "node0", worker, users=500, cpu=draw.random() / 2, lag_p99_s=draw.random() / 1e3
                )
                for worker in range(2)
            ],
            nodes=[NodePoint("node0", cpu=draw.random(), memory_bytes=1 << 34)],
            controller_cpu=0.05,
            controller_lag_s=0.002,
        )


def leave(path: Path, options: argparse.Namespace, seed: int) -> None:
    """A run directory with journal and series; the percentiles of a line are not made anew."""
    path.mkdir()
    told: dict[int, str] = {}
    with (path / "series.jsonl").open("w") as file:
        for point in points(options, seed):
            bare = json.dumps({**point.to_json(), "timers": {}}, separators=(",", ":"))
            written = []
            for name, timer in point.timers.items():
                if id(timer) not in told:
                    one = Point(1.0, 1.0, timers={"x": timer}).to_json()["timers"]["x"]
                    told[id(timer)] = json.dumps(one, separators=(",", ":"))
                written.append(f'"{name}":{told[id(timer)]}')
            found = bare.replace('"timers":{}', f'"timers":{{{",".join(written)}}}')
            file.write(found + "\n")
    journal = [{"t_s": None, "kind": "run", "id": path.name, "scenario": "chat.py"}]
    journal.append({"t_s": options.hours * 3600, "kind": "end", "verdict": "ok", "exit_code": 0})
    (path / "journal.jsonl").write_text("".join(f"{json.dumps(one)}\n" for one in journal))


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


def measure(name: str, arguments: list[str], limits: tuple[float | None, int] | None) -> None:
    """Run a command, and say what it took."""
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
        if int(peak_mb) >= most_mb or (most_s is not None and took_s >= most_s):
            outcome.missed(f"{name} took more than was wanted")
        wanted = f" (wanted: {f'< {most_s:g} s, ' if most_s else ''}< {most_mb} MB)"
    print(
        f"{name}: {took_s:.1f} s, {float(cpu_s):.1f} s of CPU, at most {peak_mb} MB{wanted}",
        flush=True,
    )
    outcome.figure(f"{name}, CPU", float(cpu_s), "s")
    outcome.figure(f"{name}, memory", float(peak_mb), "MB")


def main() -> int:
    """Print what was wanted and what it took."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--hours", type=float, default=12.0)
    parser.add_argument("--timers", type=int, default=10)
    parser.add_argument("--cells", type=int, default=100)
    parser.add_argument("--counters", type=int, default=20)
    parser.add_argument("--commands", nargs="*", default=["report", "rebuild", "compare", "export"])
    options = parser.parse_args()
    print(machine.describe(), flush=True)
    place = Path(tempfile.mkdtemp(prefix="amoc-reports-"))
    try:
        first, second = place / "a", place / "b"
        leave(first, options, 1)
        leave(second, options, 2)
        size = (first / "series.jsonl").stat().st_size / 1e6
        print(
            f"two runs of {options.hours:g} h, {options.timers} timers of {options.cells} cells,"
            f" {options.counters} counters: {size:,.0f} MB of series each",
            flush=True,
        )
        for name in options.commands:
            measure(name, arguments(name, first, second, place), WANTED.get(name))
    finally:
        shutil.rmtree(place)
    return outcome.exit_code()


def arguments(name: str, first: Path, second: Path, place: Path) -> list[str]:
    """The command line; what it needs is there, and what it makes is not."""
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
