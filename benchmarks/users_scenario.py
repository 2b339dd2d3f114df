"""Users that only record when they started, for benchmarks/users.py."""

import os
from pathlib import Path
from time import monotonic

from amoc import metrics, setting, user

noted = setting(0, "Users from this number on record that they have begun")

first = metrics.gauge("first_start_s", merge="min")
last = metrics.gauge("last_start_s", merge="max")


nobody_yet = True  # in this worker


def start(user_id):
    global nobody_yet
    now = monotonic()
    if nobody_yet:
        nobody_yet = False
        first.set(now)
    last.set(now)
    if user_id >= noted.get():  # the last of each worker
        (Path(os.environ["BENCHMARK_DIRECTORY"]) / f"{user_id}.begun").touch()
    user.wait_stopping()
