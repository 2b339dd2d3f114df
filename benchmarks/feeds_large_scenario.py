"""Scenario of benchmarks/feeds.py: users take rows of a large file, and record their cost."""

import os
from pathlib import Path

from amoc import feed, metrics, sleep

rows = feed.csv(os.environ["BENCHMARK_FILE"], name="accounts")
private = metrics.gauge("private_bytes", merge="max")
IN_A_ROW = 100


def private_bytes():
    """Return the private memory of this process."""
    lines = Path("/proc/self/smaps_rollup").read_text().splitlines()
    return sum(1024 * int(line.split()[1]) for line in lines if line.startswith("Private_"))


def start(user_id):
    for _ in range(int(os.environ["BENCHMARK_ROWS"]) // IN_A_ROW):
        for _ in range(IN_A_ROW):
            rows.next()
        sleep(0)
    private.set(private_bytes())
