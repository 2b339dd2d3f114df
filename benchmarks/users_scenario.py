"""Users that only note when they started, for benchmarks/users.py."""

from time import monotonic

from amoc import metrics, user

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
    user.wait_stopping()
