"""Counters, gauges and timers: declared by name anywhere, recorded into shared memory.

What records is loaded with the first name of it, so what only reads a run loads no gevent.
"""

from typing import TYPE_CHECKING

from amoc.base import lazy_names

if TYPE_CHECKING:
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

_STOPWATCH = ("drop_token", "put_token")
if not TYPE_CHECKING:  # a checker is to know what is not there
    __getattr__ = lazy_names.loader(
        globals(),
        {
            "amoc.metrics.handles": [name for name in __all__ if name not in _STOPWATCH],
            "amoc.metrics.stopwatch": _STOPWATCH,
        },
    )
