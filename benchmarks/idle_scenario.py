"""Users that do nothing, for benchmarks/idle.py; the first of each worker notes when it began."""

import os
from pathlib import Path
from time import monotonic

from amoc import user

begun = []  # of this worker


def start(user_id):
    if not begun:
        begun.append(monotonic())
        path = Path(os.environ["BENCHMARK_DIRECTORY"]) / f"{os.getpid()}"
        path.write_text(str(begun[0]))
        path.rename(path.with_suffix(".first"))
    user.wait_stopping()
