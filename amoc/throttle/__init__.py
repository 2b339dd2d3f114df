"""Throttles: limits on the rate, or on the concurrency, of something over the whole run."""

from amoc.scenario import pacing
from amoc.throttle.api import (
    change_rate,
    change_rate_gradually,
    limit_concurrency,
    pause,
    resume,
    sine,
    stages,
    start,
    state,
    steps,
    stop,
    unlock,
)
from amoc.throttle.throttle import ThrottleState
from amoc.throttle.wait import ThrottleTimeout, permit, run, send, send_and_wait, slot, wait

pacing.provide(wait)

__all__ = [  # noqa: RUF022 - grouped, as a table of contents
    # starting and stopping
    "limit_concurrency",
    "start",
    "state",
    "stop",
    # passing
    "permit",
    "run",
    "send",
    "send_and_wait",
    "slot",
    "wait",
    # changing
    "change_rate",
    "change_rate_gradually",
    "pause",
    "resume",
    "sine",
    "stages",
    "steps",
    "unlock",
    # results
    "ThrottleState",
    "ThrottleTimeout",
]
