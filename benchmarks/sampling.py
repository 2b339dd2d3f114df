"""What it costs a node to sample its board, and the controller to make a second of that.

    python -m benchmarks.sampling --metrics 1000 --workers 2

Half of the metrics are counters, half timers; in each second all counters grow, and each timer
records `--hits` durations. CPU time is that of the sampling and of the merging alone.
"""

from __future__ import annotations

import argparse
import random
import sys
import time
from types import SimpleNamespace
from typing import Any

import numpy as np

from amoc.base.clock import now_ns
from amoc.ipc.messages.links import FROM_NODE
from amoc.metrics import vectors
from amoc.metrics.board import Board, Kind, record
from amoc.metrics.health_figures import NodePoint
from amoc.results.merge import SampleMerger
from amoc.results.per_second import Moment, PointCutter
from amoc.results.series import Tally
from amoc.runtime.node.sampler import Sampler
from benchmarks import machine, outcome

SHORT = ["--metrics", "50", "--seconds", "3"]


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
    board = Board(options.workers, 10)
    host: Any = SimpleNamespace(figures=lambda: NodePoint(""), fds=lambda _: 0)
    sampler, samples = Sampler(board, host, 0), SampleMerger()
    seconds, half, whole = PointCutter(samples), options.metrics // 2, Tally()
    counters = [
        board.area(worker).declare(Kind.COUNTER, f"counter_{number}")
        for worker in range(options.workers)
        for number in range(half)
    ]
    timers = [
        board.area(worker).declare(Kind.TIMER, f"timer_{number}")
        for worker in range(options.workers)
        for number in range(options.metrics - half)
    ]
    seconds.begin(now_ns())
    used = {"sample": 0.0, "pack": 0.0, "merge": 0.0, "cut": 0.0, "add": 0.0, "to_json": 0.0}
    sizes, lines = [], []
    for _ in range(options.seconds):
        for cells in counters:
            cells[0] += 1
        for cells in timers:
            for _ in range(options.hits):
                ns = int(random.lognormvariate(16, 0.5))
                record(cells, ns)
        clock = time.process_time
        at = [clock()]
        sample = sampler.take(range(1, 10), 0)
        at.append(clock())
        packed = FROM_NODE.pack(sample)
        at.append(clock())
        samples.take("node0", FROM_NODE.unpack(packed))
        sampler.acknowledge(sample.sequence)
        at.append(clock())
        end_ns = now_ns()
        moment = Moment(
            at=time.time(),
            ran_ns=end_ns,
            state="running",
            waiting=0,
            throttles={},
            controller_cpu=0.0,
            controller_lag_s=0.0,
        )
        point = seconds.cut(end_ns, moment)
        at.append(clock())
        assert point is not None
        whole.add(point)
        at.append(clock())
        line = point.to_json()
        at.append(clock())
        sizes.append(len(packed))
        lines.append(len(str(line)))
        for part, begin, end in zip(used, at, at[1:], strict=False):
            used[part] += end - begin
    wanted = options.seconds * options.hits * len(timers)
    done = sum(whole.timers.hits)
    print(f"{options.metrics} metrics, {options.workers} workers, {options.seconds} samples")
    print(f"durations: wanted {wanted:,}, done {done:,}")
    if wanted != done:
        outcome.failed(f"{wanted - done} durations were lost")
    for part, spent in used.items():
        print(f"{part:8} {spent / options.seconds * 1000:6.1f} ms CPU a second")
        outcome.figure(part, spent / options.seconds * 1000, "ms/s")
    print(f"a sample {sum(sizes) / len(sizes) / 1000:,.0f} kB, a line of the series", end=" ")
    print(f"{sum(lines) / len(lines) / 1000:,.0f} kB")
    return outcome.exit_code()


if __name__ == "__main__":
    sys.exit(main())
