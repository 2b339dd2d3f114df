"""Scenario of benchmarks/feeds.py: users take rows of a feed until none is left."""

import os
from pathlib import Path

from amoc import feed, metrics, sleep

DIRECTORY = Path(os.environ.get("BENCHMARK_DIRECTORY", "."))
IN_A_ROW = 100
"""Rows that a user takes before it yields to others."""


def init():
    size = int(os.environ["BENCHMARK_ROWS"])
    return feed.rows(range(size), order="unique", name="numbers")


def start(user_id, numbers):
    wait = metrics.timer("next_of_many")
    while True:
        with wait.time():
            for _ in range(IN_A_ROW):
                numbers.next()
        sleep(0)
