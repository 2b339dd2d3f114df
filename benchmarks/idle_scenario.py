"""Idle users, for benchmarks/idle.py; the first user of each worker records when it began."""

import os
from pathlib import Path
from time import monotonic

from amoc import user

begun: list[float] = []  # of this worker


def start(user_id):
    if not begun:
        begun.append(monotonic())
        path = Path(os.environ["BENCHMARK_DIRECTORY"]) / f"{os.getpid()}"
        path.write_text(str(begun[0]))
        path.rename(path.with_suffix(".first"))
    user.wait_stopping()
