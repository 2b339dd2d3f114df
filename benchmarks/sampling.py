"""What it costs a node to sample its board, and the controller to make a second of the sample.

    python -m benchmarks.sampling --metrics 1000 --workers 2

Half of the metrics are counters, half timers; in each second all counters grow, and each timer
records `--hits` durations in each worker. CPU time is that of sampling and merging
alone, the mean and the longest part: the loop of a process may turn between two parts.
"""

from __future__ import annotations

import argparse
import random
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np

from amoc.base.clock import now_ns
from amoc.ipc.messages.links import FROM_NODE
from amoc.ipc.messages.samples import Sample
from amoc.metrics import vectors
from amoc.metrics.area import Kind
from amoc.metrics.board import Board
from amoc.metrics.health_figures import NodePoint
from amoc.metrics.timer_cells import record
from amoc.results.merge import SampleMerger
from amoc.results.per_second import Moment, PointCutter
from amoc.results.run_totals import RunTotals
from amoc.results.store.writer import SeriesWriter
from amoc.runtime.node.sampler import Sampler
from benchmarks import machine, outcome

SHORT = ["--metrics", "50", "--seconds", "3"]
WARM_UP = 2
"""Seconds that are not measured: in the first, all metrics are new."""


class Clock:
    """CPU time by stage, and of the longest part of each."""

    def __init__(self) -> None:
        self.spent: dict[str, float] = {}
        self.longest: dict[str, float] = {}
        self._stage = ""
        self._since = 0.0

    def part(self) -> None:
        """End a part."""
        now = time.process_time()
        took, self._since = now - self._since, now
        if self._stage:
            self.spent[self._stage] = self.spent.get(self._stage, 0.0) + took
            self.longest[self._stage] = max(took, self.longest.get(self._stage, 0.0))

    def begin(self, stage: str) -> None:
        """Begin a stage, and end the previous one."""
        self.part()
        self._stage = stage


def recording(board: Board, metrics: int, hits: int) -> Callable[[], None]:
    """Declare metrics for each worker; return a function that records a second."""
    half, areas = metrics // 2, [board.area(worker) for worker in range(board.workers)]
    counters = [one.declare(Kind.COUNTER, f"counter_{n}") for one in areas for n in range(half)]
    rest = range(metrics - half)
    timers = [one.declare(Kind.TIMER, f"timer_{n}") for one in areas for n in rest]

    def second() -> None:
        for cells in counters:
            cells[0] += 1
        for cells in timers:
            for _ in range(hits):
                record(cells, int(random.lognormvariate(16, 0.5)))

    return second


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--metrics", type=int, default=1000)
    parser.add_argument("--workers", type=int, default=2)
    parser.add_argument("--hits", type=int, default=20)
    parser.add_argument("--seconds", type=int, default=20)
    parser.add_argument("--plain", action="store_true", help="without NumPy")
    options = parser.parse_args()
    if not options.plain:
        vectors.use(np)
    print(machine.describe())
    board, clock = Board(options.workers, 10), Clock()
    host: Any = SimpleNamespace(figures=lambda: NodePoint(""), fds=lambda _: 0)
    sampler, samples, totals = Sampler(board, host, 0, clock.part), SampleMerger(), RunTotals()
    cutter, size = PointCutter(samples), 0
    second = recording(board, options.metrics, options.hits)
    with tempfile.TemporaryDirectory() as directory:
        series = Path(directory) / "series"
        writer = SeriesWriter(series)
        cutter.begin(now_ns())
        for number in range(-WARM_UP, options.seconds):
            second()
            if number == 0:
                clock.spent.clear()
                clock.longest.clear()
            clock.begin("sample")
            sample = sampler.take(range(1, 10), 0)
            clock.begin("pack")
            packed = FROM_NODE.pack(sample)
            sampler.acknowledge(sample.sequence)
            clock.begin("unpack")
            received = FROM_NODE.unpack(packed)
            assert isinstance(received, Sample)
            clock.begin("merge")
            samples.take("node0", received, clock.part)
            clock.begin("cut")
            moment = Moment(time.time(), now_ns(), "running", 0, {}, 0.0, 0.0)
            point = cutter.cut(now_ns(), moment)
            assert point is not None
            clock.begin("add")
            totals.add(point, yield_if_due=clock.part)
            clock.begin("write")
            for _ in writer.pieces(point):
                clock.part()
            clock.begin("")
            size += len(packed)
        writer.close()
        seconds = WARM_UP + options.seconds
        wanted = seconds * options.hits * options.workers * (options.metrics - options.metrics // 2)
        done = sum(totals.whole.timers.hits)
        print(f"{options.metrics} metrics, {options.workers} workers, {options.seconds} samples")
        print(f"durations: expected {wanted:,}, got {done:,}")
        if wanted != done:
            outcome.failed(f"{wanted - done} durations were lost")
        for stage, spent in clock.spent.items():
            longest_ms = clock.longest[stage] * 1000
            print(f"{stage:8} {spent / options.seconds * 1000:6.1f} ms of CPU per second", end=", ")
            print(f"longest part {longest_ms:4.1f} ms")
            outcome.figure(stage, spent / options.seconds * 1000, "ms/s")
            outcome.figure(f"{stage}, longest part", longest_ms, "ms")
        print(f"sample: {size / seconds / 1000:,.0f} kB,", end=" ")
        print(f"a second in the run directory: {series.stat().st_size / seconds / 1000:,.0f} kB")
    return outcome.exit_code()


if __name__ == "__main__":
    sys.exit(main())
