"""Users of many throttles that record many metrics, end and restart, for benchmarks/long_run."""

import os
from itertools import count
from pathlib import Path

from amoc import metrics, setting, throttle

names = setting(1000, "Number of throttles")
rate = setting(10.0, "Slots per second of each throttle")
recorded = setting(1000, "Number of metrics: half counters, half timers")
slots = setting(15, "Slots that a user takes before it ends")

numbers = count()  # of what this worker has recorded
counters: list[metrics.Counter] = []
timers: list[metrics.Timer] = []


def init():
    for number in range(names.get()):
        throttle.start(f"t{number}", rate.get(), 1)


def record():
    """Record two values of timers and one of a counter, so that all of them are in use."""
    number = next(numbers)
    timers[number % len(timers)].record(0.0001 * (number % 997))
    timers[(number * 7) % len(timers)].record(0.001 * (number % 89))
    counters[number % len(counters)].inc()


def start(user_id):
    if not counters:
        half = recorded.get() // 2
        counters.extend(metrics.counter(f"counter_{number}") for number in range(half))
        timers.extend(metrics.timer(f"timer_{number}") for number in range(half))
        (Path(os.environ["BENCHMARK_DIRECTORY"]) / f"{os.getpid()}.first").touch()
    name = f"t{user_id % names.get()}"
    for _ in range(slots.get()):
        throttle.wait(name)
        record()
