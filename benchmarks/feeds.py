"""What rows of a feed cost: reading a file, taking a row, and dealing rows to workers of a run.

Goals: 1 to 2 µs for a row that the worker holds, and no row used twice.

    python -m benchmarks.feeds [--rows 300000] [--calls 100000] [--rounds 5] [--dealt 1000000]
        [--large 10000000]

CPU time of this process, the best of several rounds; rows have three columns of some 40 bytes in
total. Then a run with two workers takes `--dealt` rows as fast as it can; CPU is that of its
processes. Finally a run with two workers takes a fifth of the rows of a file with
`--large` rows, and each worker reports its private memory.
"""

from __future__ import annotations

import argparse
import json
import os
import sys
import tempfile
import tracemalloc
from collections.abc import Callable
from pathlib import Path
from time import process_time_ns

from amoc import feed
from amoc.feed.sources import CsvRows
from benchmarks import machine, outcome
from benchmarks.amoc_run import HERE, amoc_run

# fmt: off
SHORT = [
    "--rows", "3000", "--calls", "2000", "--rounds", "2", "--dealt", "20000", "--large", "20000",
]
# fmt: on
WANTED_US = 2.0


def best_us(what: Callable[[], object], calls: int, rounds: int) -> float:
    """Return the CPU time of one call, in the best of several rounds."""
    taken = []
    for _ in range(rounds):
        begun = process_time_ns()
        for _ in range(calls):
            what()
        taken.append(process_time_ns() - begun)
    return min(taken) / calls / 1000


def write_files(directory: Path, rows: int) -> None:
    names = [f"user{number}" for number in range(rows)]
    lines = [f"{name},pw-{name},{name}@example.org\n" for name in names]
    (directory / "rows.csv").write_text("name,password,mail\n" + "".join(lines))
    objects = [{"name": one, "password": f"pw-{one}", "mail": f"{one}@a.org"} for one in names]
    (directory / "rows.jsonl").write_text("".join(json.dumps(one) + "\n" for one in objects))


def show_reading(directory: Path, rows: int) -> None:
    begun = process_time_ns()
    CsvRows(directory / "rows.csv", "rows.csv", "utf-8", ",")
    each_us = (process_time_ns() - begun) / rows / 1000
    tracemalloc.start()
    kept = CsvRows(directory / "rows.csv", "rows.csv", "utf-8", ",")
    held, _ = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    size = (directory / "rows.csv").stat().st_size
    print(
        f"  reading and checking CSV: {each_us:.2f} µs per row; kept for {len(kept):,} rows of"
        f" {size / rows:.0f} bytes: {held / rows:.0f} bytes per row"
    )
    outcome.figure("reading CSV, per row", each_us, "µs")
    outcome.figure("memory of CSV, per row", held / rows, "B")


def show_taking(directory: Path, options: argparse.Namespace) -> None:
    kinds = {
        "CSV, unique or circular": feed.csv(directory / "rows.csv", "circular"),
        "CSV, random": feed.csv(directory / "rows.csv", "random", name="random"),
        "JSON lines, circular": feed.jsonl(directory / "rows.jsonl", "circular"),
        "dictionaries of the scenario": feed.rows([{"n": 1}] * 1000, "circular"),
    }
    for name, one in kinds.items():
        each_us = best_us(one.next, options.calls, options.rounds)
        print(f"  next() of {name:<30} {each_us:.2f} µs")
        outcome.figure(f"next() of {name}", each_us, "µs")
        if each_us > WANTED_US:
            outcome.missed(f"next() of {name} took more than {WANTED_US:g} µs")


def show_dealing(rows: int) -> None:
    os.environ["BENCHMARK_ROWS"] = str(rows)
    with amoc_run(HERE / "feeds_scenario.py", 20, 2, {"repeat_num": 1}) as run:
        summary = run.finish()
    used = summary["counters"]["feed.numbers.used"]
    if used != rows:
        outcome.failed(f"{rows:,} rows should have been used, but {used:,} were")
    cpu_us = sum(one["cpu_s"] for one in summary["workers"]) / rows * 1e6
    waits = summary["timers"]["next_of_many"]
    print(
        f"  a run with two workers used {used:,} rows: {cpu_us:.2f} µs of the workers' CPU each;"
        f" 100 in a row took {waits['p50_s'] * 1e3:.2f} ms, at the 99th percentile"
        f" {waits['p99_s'] * 1e3:.2f} ms"
    )
    outcome.figure("CPU of the workers per row of a run", cpu_us, "µs")


def show_large(directory: Path, rows: int) -> None:
    """Measure a run with a file that is read once and shared by all workers."""
    file = directory / "large.csv"
    with file.open("w") as out:
        out.write("name,password,mail\n")
        out.writelines(f"user{n},pw-user{n},user{n}@example.org\n" for n in range(rows))
    begun = process_time_ns()
    CsvRows(file, file.name, "utf-8", ",")
    load_s = (process_time_ns() - begun) / 1e9
    users, each = 20, rows // 5 // 20
    os.environ |= {"BENCHMARK_FILE": str(file), "BENCHMARK_ROWS": str(each)}
    scenario, values = HERE / "feeds_large_scenario.py", {"repeat_num": 1}
    with amoc_run(scenario, users, 2, values, "--init-timeout", "10m") as run:
        summary = run.finish()
    used = summary["counters"]["feed.accounts.used"]
    if used != users * (each // 100) * 100:
        outcome.failed(f"{users * each:,} rows should have been used, but {used:,} were")
    private = summary["gauges"]["private_bytes"] / 2**20
    cpu_us = sum(one["cpu_s"] for one in summary["workers"]) / used * 1e6
    print(
        f"  a file of {rows:,} rows, {file.stat().st_size / 2**20:,.0f} MiB, was read in"
        f" {load_s:.2f} s of CPU; each of two workers had {private:.1f} MiB of private memory, and"
        f" {used:,} rows took {cpu_us:.2f} µs of the workers' CPU each"
    )
    outcome.figure("reading a large CSV", load_s, "s")
    outcome.figure("memory of its own of a worker with a large CSV", private, "MiB")
    outcome.figure("CPU of the workers per row of a large CSV", cpu_us, "µs")


def main() -> int:
    """Print the goals and the results."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--rows", type=int, default=300_000)
    parser.add_argument("--calls", type=int, default=100_000)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--dealt", type=int, default=1_000_000)
    parser.add_argument("--large", type=int, default=10_000_000)
    options = parser.parse_args()
    print(machine.describe())
    with tempfile.TemporaryDirectory(prefix="amoc-benchmark-") as directory:
        write_files(Path(directory), options.rows)
        show_reading(Path(directory), options.rows)
        show_taking(Path(directory), options)
        show_large(Path(directory), options.large)
    show_dealing(options.dealt)
    return outcome.exit_code()


if __name__ == "__main__":
    sys.exit(main())
