"""The steps and checks of a run: counts, rates, times, failures and their causes. Pure.

They are recognised by their metrics, see `amoc.metrics.step_names`.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from typing import NamedTuple

from amoc.metrics.coordinated_omission import RESPONSE
from amoc.metrics.histogram import Histogram
from amoc.metrics.step_names import (
    AGGREGATED,
    BYTES,
    CAUSE,
    COUNT,
    FAILED,
    FAILURES,
    PASSED,
    checks_in,
    steps_in,
)
from amoc.metrics.timer_statistics import PERCENTILES, statistics
from amoc.results.counts import by_cause
from amoc.results.journal_facts import FailureSample
from amoc.results.series import Tally
from amoc.results.summary_types import CausePart, CheckPart, StepPart

TIMES = ("mean_s", *(one.field for one in PERCENTILES), "max_s")
"""The times of a step; None if no execution succeeded, or none under a throttle."""
Samples = Mapping[str, Mapping[str, FailureSample]]
"""By step and cause."""


def steps(tally: Tally, names: Collection[str], samples: Samples) -> dict[str, StepPart]:
    """Return the steps of a run or a part of it, by name; the sum of all requests comes last.

    Args:
        tally: The counts.
        names: All metrics of the run.
        samples: A sample failure for each cause.
    """
    timers = tally.timers
    found: dict[str, StepPart] = {}
    for name in steps_in(names):
        count, failures = (tally.counters.get(name + end, 0) for end in (COUNT, FAILURES))
        per_s = tally.counter_per_s(name + COUNT)
        found[name] = {
            "count": count,
            "failures": failures,
            "failed_share": failures / count if count else None,
            "per_s": None if per_s is None else round(per_s, 3),
            "bytes": tally.counters.get(name + BYTES, 0),
            "times": _times(timers, name),
            "response": _times(timers, name + RESPONSE),
            "causes": _causes(tally, name, samples.get(name, {})),
        }
    return found


def _times(timers: Mapping[str, Histogram], name: str) -> dict[str, float | None]:
    timer = timers.get(name, Histogram())
    times = statistics(timer)
    return {field: times[field] if timer.cells else None for field in TIMES}


def responds(found: Mapping[str, StepPart]) -> bool:
    """Return whether any of the steps has a response time."""
    return any(one.get("response", {}).get("p99_s") is not None for one in found.values())


def _causes(tally: Tally, step: str, samples: Mapping[str, FailureSample]) -> list[CausePart]:
    """Return why a step failed, most frequent cause first."""
    begin = step + CAUSE
    found: list[CausePart] = []
    for cause, count in by_cause(tally.counters, begin):
        first_s, last_s = tally.failed_at[begin + cause]
        sample = samples.get(cause, FailureSample())
        found.append(
            {
                "cause": cause,
                "count": count,
                "first_s": round(first_s, 3),
                "last_s": round(last_s, 3),
                "user_id": sample.user_id,
                "message": sample.message,
            }
        )
    return found


def checks(tally: Tally, names: Collection[str]) -> dict[str, CheckPart]:
    """Return the checks of a run or a part of it, by name."""
    found: dict[str, CheckPart] = {}
    for name in checks_in(names):
        passed, failed = tally.counters.get(name + PASSED, 0), tally.counters.get(name + FAILED, 0)
        made = passed + failed
        share = passed / made if made else None
        found[name] = {"passed": passed, "failed": failed, "passed_share": share}
    return found


class Failure(NamedTuple):
    """The failures of one step with one cause."""

    step: str
    cause: CausePart


def failures(found: Mapping[str, StepPart]) -> list[Failure]:
    """Return all failures by step and cause, most frequent first."""
    every = [Failure(name, one) for name, step in found.items() for one in step["causes"]]
    return sorted(every, key=lambda one: (-one.cause["count"], one.step, one.cause["cause"]))


def executed(found: Mapping[str, StepPart]) -> dict[str, StepPart]:
    """Return the steps that were executed; their sum only if there is more than one."""
    some = {name: one for name, one in found.items() if one["count"]}
    if len(some) <= 2:  # a single step, whose sum would be the same
        some.pop(AGGREGATED, None)
    return some


def without(
    counters: Mapping[str, int], found: Collection[str], made: Collection[str]
) -> dict[str, int]:
    """Return the counters that belong to no step and no check, for tables of other counters.

    Args:
        counters: All counters.
        found: The names of all steps.
        made: The names of all checks.
    """
    theirs = {name + end for name in found for end in (COUNT, FAILURES, BYTES)}
    theirs |= {name + end for name in made for end in (PASSED, FAILED)}
    return {
        name: count
        for name, count in counters.items()
        if name not in theirs and not (CAUSE in name and name.partition(CAUSE)[0] in found)
    }
