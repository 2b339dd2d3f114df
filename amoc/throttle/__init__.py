"""Throttles: limits on the rate, or on the concurrency, of something over the whole run.

What only workers need is loaded when first used, so the controller does without it.
"""

from typing import TYPE_CHECKING

from amoc.base import lazy_names

if TYPE_CHECKING:
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
    from amoc.throttle.passing import ThrottleTimeout, permit, run, send, send_and_wait, slot, wait
    from amoc.throttle.throttle import ThrottleState

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

if not TYPE_CHECKING:  # so that a type checker notices names that do not exist
    _PLACES = {
        "amoc.throttle.passing": {
            *("ThrottleTimeout", "permit", "run", "send", "send_and_wait", "slot", "wait")
        },
        "amoc.throttle.throttle": {"ThrottleState"},
    }
    _PLACES["amoc.throttle.api"] = {*__all__}.difference(*_PLACES.values())
    __getattr__ = lazy_names.loader(globals(), _PLACES)
