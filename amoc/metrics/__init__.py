"""Counters, gauges and timers: declared by name anywhere, recorded into shared memory."""

from amoc.metrics.handles import (
    Counter,
    Gauge,
    ThrottleMeters,
    Timer,
    attach,
    built_in,
    counter,
    declared,
    fits,
    gauge,
    read,
    take_away,
    throttle,
    timer,
)
from amoc.metrics.stopwatch import drop_token, put_token

__all__ = [
    # what a scenario calls
    "counter",
    "gauge",
    "timer",
    # what those return
    "Counter",
    "Gauge",
    "ThrottleMeters",
    "Timer",
    # what the parts of amoc call
    "attach",
    "built_in",
    "declared",
    "drop_token",
    "fits",
    "put_token",
    "take_away",
    "read",
    "throttle",
]
