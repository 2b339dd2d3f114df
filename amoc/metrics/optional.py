"""Metrics that a run can do without: those of throttles, coordinators and causes of failures.

A scenario may create any number of throttles and coordinators, and a board has room for 8,000
metrics. So these leave `KEPT_FREE` for amoc's own metrics and the scenario's. Further ones count
nothing, which each worker reports once: a limit reached in the middle of a run, perhaps in the
event loop, must not end its workers.
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


class NullCounter:
    """A counter that counts nothing."""

    def inc(self, n: int = 1) -> None:
        """Count nothing."""


class NullGauge:
    """A gauge that keeps nothing."""

    def set(self, value: float) -> None:
        """Keep nothing."""


NOTHING = NullCounter()
Count = metrics.Counter | NullCounter
Level = metrics.Gauge | NullGauge


def counter(name: str, kept_free: int = KEPT_FREE) -> Count:
    """The counter called `name`, or one that counts nothing where there is no room.

    Args:
        name: The metric's.
        kept_free: How many other metrics there must still be room for.
    """
    try:
        if registry.current.fits(name, kept_free):
            return metrics.built_in(metrics.Counter, name)
        _say(f"metric {name!r}")
    except ScenarioError as error:  # the scenario has another kind of metric of that name
        _say_why(str(error))
    return NOTHING


def gauge(name: str, merge: Merge, kept_free: int = KEPT_FREE) -> Level:
    """The gauge called `name`, or one that keeps nothing where there is no room, which is not told.

    Args:
        name: The metric's.
        merge: How those of several workers are merged.
        kept_free: How many other metrics there must still be room for.
    """
    if registry.current.fits(name, kept_free, Kind.GAUGE):
        with suppress(ScenarioError):  # the name may be too long
            return metrics.built_in(metrics.Gauge, name, merge)
    return NullGauge()


def throttle(name: str) -> metrics.ThrottleMeters:
    """The meters of throttle `name`, or ones that are not reported where there is no room."""
    if registry.current.fits(name, KEPT_FREE, Kind.THROTTLE):
        return registry.current.throttle(name)
    _say(f"throttle {name!r}")
    return metrics.ThrottleMeters(name, None)


def _say(what: str) -> None:
    _say_why(f"a worker has no room for {what}; is there a user id in the name?")


def _say_why(why: str) -> None:
    told = context.active().told
    if __name__ not in told:
        told.add(__name__)
        with suppress(OSError):
            print(f"not all throttles or coordinators are counted: {why}", file=sys.stderr)
