"""Metrics that a run can do without: those of throttles, coordinators and causes of failures.

A scenario may create any number of coordinators, and a board has room for 8,000 metrics. So
`KEPT_FREE` of these are reserved for amoc's other metrics and the scenario's. The board has room
for all throttles that a run may have at a time, but not for any number of names in succession. Any
further ones count nothing, which each worker reports once: reaching a limit in the middle of a run,
perhaps in the event loop, must not end its workers.
"""

from __future__ import annotations

import sys
from contextlib import suppress

from amoc import metrics
from amoc.base import context
from amoc.base.errors import ScenarioError
from amoc.metrics import registry
from amoc.metrics.area import Kind, Merge

KEPT_FREE = 500


class Null:
    """A counter that counts nothing, or a gauge that keeps nothing."""

    def inc(self, n: int = 1) -> None:
        """Count nothing."""

    def set(self, value: float) -> None:
        """Keep nothing."""


NOTHING = Null()
Count = metrics.Counter | Null
Level = metrics.Gauge | Null


def counter(name: str, kept_free: int = KEPT_FREE) -> Count:
    """Return the counter called `name`, or one that counts nothing if there is no room.

    Args:
        name: The metric's name.
        kept_free: How many other metrics must still fit.
    """
    try:
        if registry.current.fits(name, kept_free):
            return metrics.built_in(metrics.Counter, name)
        _say(f"metric {name!r}")
    except ScenarioError as error:  # the scenario has another kind of metric of that name
        _say_why(str(error))
    return NOTHING


def gauge(name: str, merge: Merge, kept_free: int = KEPT_FREE) -> Level:
    """Return the gauge called `name`, or one that keeps nothing if there is no room, silently.

    Args:
        name: The metric's name.
        merge: How the values of several workers are merged.
        kept_free: How many other metrics must still fit.
    """
    if registry.current.fits(name, kept_free, Kind.GAUGE):
        with suppress(ScenarioError):  # the name may be too long
            return metrics.built_in(metrics.Gauge, name, merge)
    return NOTHING


def throttle(name: str) -> metrics.ThrottleMeters:
    """Return the meters of throttle `name`, or ones that are not reported if there is no room."""
    if registry.current.fits(name, 0, Kind.THROTTLE):
        return registry.current.throttle(name)
    _say(f"throttle {name!r}")
    return metrics.ThrottleMeters(name, None)


def _say(what: str) -> None:
    _say_why(f"a worker has no room for {what}; is there a user id in the name?")


def _say_why(why: str) -> None:
    warned = context.active().warned
    if __name__ not in warned:
        warned.add(__name__)
        with suppress(OSError):
            print(f"not all throttles or coordinators are counted: {why}", file=sys.stderr)
