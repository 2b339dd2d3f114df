"""How the metrics of steps and checks are called, for what counts them and what shows them. Pure.

    login                      timer: executions that succeeded
    login.count                counter: all executions
    login.failures             counter: those that failed
    login.failures.status 503  counter: those that failed for this cause; they add up to all
    login.bytes                counter: what they have read, where that is known
    login.response             timer: the same under a throttle, from the moment that it gave
    Aggregated                 the same for all requests together, without causes
    first_failure.login.failures.status 503
    last_failure.login.failures.status 503
                               gauges: when that was first and last, on the clock of the host; they
                               are told with the failures, and are among no results' gauges
    total is right.passed      counter: a check that passed
    total is right.failed      counter: one that did not

What has both a timer and the counters ``NAME.count`` and ``NAME.failures`` is a step.
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
"""Between a step's name and a cause."""
FIRST_FAILURE: Final = "first_failure."
LAST_FAILURE: Final = "last_failure."
PASSED: Final = ".passed"
FAILED: Final = ".failed"
OTHER: Final = "other"
"""What all causes of a step after the first ones count as."""


def steps_in(names: Collection[str]) -> list[str]:
    """The steps among the names of metrics, in order; `AGGREGATED` last."""
    stems = (name.removesuffix(FAILURES) for name in names if name.endswith(FAILURES))
    found = [one for one in stems if one in names and one + COUNT in names]
    return sorted(found, key=lambda name: (name == AGGREGATED, name))


def is_moment(name: str) -> bool:
    """Whether that is the gauge of a moment at which a step failed."""
    return name.startswith((FIRST_FAILURE, LAST_FAILURE))


def checks_in(names: Collection[str]) -> list[str]:
    """The checks among the names of metrics, in order."""
    stems = (name.removesuffix(FAILED) for name in names if name.endswith(FAILED))
    return sorted(one for one in stems if one + PASSED in names)


def group_of(name: str, group: str) -> str:
    """What a step of a group is called."""
    return f"{group}: {name}" if group else name
