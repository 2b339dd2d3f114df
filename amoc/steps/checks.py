"""``check()``: something that should be true, counted; it raises nothing and ends nothing."""

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
    """Count whether something is as it should be; in a step, a failed check makes that fail, too.

        check("total is right", total == 3)

    Args:
        name: What should be: any text, of a limited number of kinds.
        passed: Whether it is; anything that can be true or false.
        details: What else there is to say if not: a sample of the step's failures shows it.

    Returns:
        Whether it passed.

    Raises:
        ScenarioError: `name` cannot be the name of a metric, or there is no room for it.
    """
    key = _Check, name  # no step's
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
