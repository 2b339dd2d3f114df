"""Names and attributes of amoc's metrics in OpenTelemetry. Pure.

OpenTelemetry expects a small, fixed set of names, so a scenario's names of metrics and steps are
attributes.
"""

from __future__ import annotations

from collections.abc import Collection
from typing import NamedTuple

from amoc.metrics import step_names


class Named(NamedTuple):
    """A metric and the attributes of its data points.

    Attributes:
        name: The metric's name.
        unit: In UCUM notation.
        attributes: In pairs, to be hashable.
    """

    name: str
    unit: str
    attributes: tuple[tuple[str, str], ...] = ()


class Names:
    """Distinguishes metrics of steps and checks from others, using all names seen so far."""

    def __init__(self) -> None:
        self._seen: set[str] = set()
        self._steps: frozenset[str] = frozenset()
        self._counters: dict[str, Named | None] = {}

    def learn(self, names: Collection[str]) -> None:
        """Add the names of counters and timers."""
        if not self._seen.issuperset(names):
            self._seen.update(names)
            self._steps = frozenset(step_names.steps_in(self._seen))
            self._counters = self._of_steps()

    def timer(self, name: str) -> Named:
        """Return the name of a timer."""
        if name == step_names.AGGREGATED:
            return Named("amoc.requests.duration", "s")
        if name in self._steps:
            return Named("amoc.step.duration", "s", (("step", name),))
        return Named("amoc.timer.duration", "s", (("timer", name),))

    def counter(self, name: str) -> Named | None:
        """Return the name of a counter; None if it is the sum of others."""
        if name in self._counters:
            return self._counters[name]
        stem, cause, why = name.partition(step_names.CAUSE)
        if cause and stem in self._steps:
            return Named("amoc.step.failures", "{failure}", (("step", stem), ("cause", why)))
        return Named("amoc.counter", "1", (("counter", name),))

    def _of_steps(self) -> dict[str, Named | None]:
        found: dict[str, Named | None] = {}
        for step in self._steps:
            if step == step_names.AGGREGATED:
                found[step + step_names.COUNT] = Named("amoc.requests", "{request}")
                found[step + step_names.FAILURES] = Named("amoc.requests.failures", "{failure}")
                found[step + step_names.BYTES] = Named("amoc.requests.bytes", "By")
                continue
            which = (("step", step),)
            found[step + step_names.COUNT] = Named("amoc.step.executions", "{execution}", which)
            found[step + step_names.FAILURES] = None
            found[step + step_names.BYTES] = Named("amoc.step.bytes", "By", which)
        for check in step_names.checks_in(self._seen):
            for end, result in ((step_names.PASSED, "passed"), (step_names.FAILED, "failed")):
                both = (("check", check), ("result", result))
                found[check + end] = Named("amoc.checks", "{check}", both)
        return found
