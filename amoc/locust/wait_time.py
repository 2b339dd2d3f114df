"""Pure. Wait times between two tasks of a user: values for ``wait_time``."""

from __future__ import annotations

import random
from collections.abc import Callable
from time import perf_counter

WaitTime = Callable[[object], float]
"""Called with the user or the task set. Returns the seconds to wait."""


def between(min_wait: float, max_wait: float) -> WaitTime:
    """Wait for a random time between the two, uniformly distributed."""
    return lambda _: random.uniform(min_wait, max_wait)


def constant(wait_time: float) -> WaitTime:
    """Wait for the same time after each task."""
    return lambda _: wait_time


def constant_pacing(wait_time: float) -> WaitTime:
    """Wait until `wait_time` seconds have passed since the previous task started."""

    def left(whose: object) -> float:
        now = perf_counter()
        begun = whose.__dict__.get("_pace_begun", whose.__dict__.get("_born", now))
        seconds: float = max(0.0, wait_time - (now - begun))
        whose.__dict__["_pace_begun"] = now + seconds
        return seconds

    return left


def constant_throughput(task_runs_per_second: float) -> WaitTime:
    """Wait as with `constant_pacing`, given as a rate per user.

    Raises:
        ValueError: The rate is not above 0.
    """
    return constant_pacing(1 / _rate("constant_throughput", task_runs_per_second))


def poisson(rate: float) -> WaitTime:
    """Wait for the intervals of a Poisson process with `rate` tasks per second.

    Raises:
        ValueError: The rate is not above 0.
    """
    mean = _rate("poisson", rate)
    return lambda _: random.expovariate(mean)


def _rate(what: str, rate: float) -> float:
    if not rate > 0:
        raise ValueError(f"{what}() must be given a rate above 0, got {rate}")
    return rate
