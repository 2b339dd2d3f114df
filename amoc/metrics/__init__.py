"""Counters, gauges and timers: declared by name anywhere, recorded into shared memory.

The recording modules are loaded when first used, so reading a run does not load gevent.
"""

from typing import TYPE_CHECKING

from amoc.base import lazy_names

if TYPE_CHECKING:
    from amoc.metrics.handles import Counter, Gauge, ThrottleMeters, Timer
    from amoc.metrics.registry import built_in, counter, gauge, read, timer
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
    "built_in",
    "drop_token",
    "put_token",
    "read",
]

if not TYPE_CHECKING:  # so that a type checker notices names that do not exist
    __getattr__ = lazy_names.loader(
        globals(),
        {
            "amoc.metrics.handles": ["Counter", "Gauge", "ThrottleMeters", "Timer"],
            "amoc.metrics.registry": ["counter", "gauge", "timer", "built_in", "read"],
            "amoc.metrics.stopwatch": ["drop_token", "put_token"],
        },
    )
