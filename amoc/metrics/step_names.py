"""Names of the metrics of steps and checks, for the code that counts them and shows them. Pure.

    login                      timer: executions that succeeded
    login.count                counter: all executions
    login.failures             counter: those that failed
    login.failures.status 503  counter: those that failed for this cause; the causes add up to all
    login.bytes                counter: bytes that they have read, if known
    login.response             timer: as `login`, under a throttle, since the slot's time
    Aggregated                 the same for all requests together, without causes
    first_failure.login.failures.status 503
    last_failure.login.failures.status 503
                               gauges: when that occurred first and last, on the host's clock; they
                               are reported with the failures, not among a run's gauges
    total is right.passed      counter: the check passed
    total is right.failed      counter: the check failed

A step is a name with both a timer and the counters ``NAME.count`` and ``NAME.failures``.
"""

from __future__ import annotations

from collections.abc import Collection
from typing import Final

AGGREGATED: Final = "Aggregated"
"""All requests, whatever their names; each counted once."""
COUNT: Final = ".count"
FAILURES: Final = ".failures"
BYTES: Final = ".bytes"
CAUSE: Final = f"{FAILURES}."
"""Separates a step's name from a cause."""
FIRST_FAILURE: Final = "first_failure."
LAST_FAILURE: Final = "last_failure."
PASSED: Final = ".passed"
FAILED: Final = ".failed"
OTHER: Final = "other"
"""Stands for all causes of a step after the first ones."""


def steps_in(names: Collection[str]) -> list[str]:
    """Return the steps among the names of metrics, in order; `AGGREGATED` last."""
    stems = (name.removesuffix(FAILURES) for name in names if name.endswith(FAILURES))
    found = [one for one in stems if one in names and one + COUNT in names]
    return sorted(found, key=lambda name: (name == AGGREGATED, name))


def is_moment(name: str) -> bool:
    """Return whether this is the gauge of a time at which a step failed."""
    return name.startswith((FIRST_FAILURE, LAST_FAILURE))


def checks_in(names: Collection[str]) -> list[str]:
    """Return the checks among the names of metrics, in order."""
    stems = (name.removesuffix(FAILED) for name in names if name.endswith(FAILED))
    return sorted(one for one in stems if one + PASSED in names)


def group_of(name: str, group: str) -> str:
    """Return the name of a step within a group."""
    return f"{group}: {name}" if group else name
