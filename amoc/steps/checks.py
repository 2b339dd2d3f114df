"""``check()``: an assertion that is counted; a failed one neither raises nor ends anything."""

from __future__ import annotations

from amoc import metrics
from amoc.metrics import registry
from amoc.metrics.step_names import FAILED, PASSED
from amoc.steps.recorder import open_step


class _Check:
    """The two counters of a check."""

    __slots__ = ("failed", "passed")

    def __init__(self, name: str) -> None:
        self.passed = metrics.counter(name + PASSED)
        self.failed = metrics.counter(name + FAILED)


def check(name: str, passed: object, details: str = "") -> bool:
    """Count a passed or failed check; a failed one also fails the step it is in.

        check("total is right", total == 3)

    Args:
        name: The expectation: any text with a limited number of values.
        passed: Whether it is met; tested for truth.
        details: More about a failure; shown as a sample of the step's failures.

    Returns:
        Whether it passed.

    Raises:
        ScenarioError: `name` cannot be a metric's name, or the limit on metrics is reached.
    """
    key = _Check, name  # distinct from the keys of steps
    one = registry.current.composed.get(key)
    if one is None:
        one = registry.current.composed[key] = _Check(name)
    if passed:
        one.passed.inc()
        return True
    one.failed.inc()
    step = open_step()
    if step is not None:
        step.fail(f"check {name}", details)
    return False
