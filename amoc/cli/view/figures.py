"""Figures of a run that views show while it runs; made of `Status` alone. Pure.

*Now* is the last seconds: rates of `NOW_S`, percentiles of `RECENT_S`, so that they are steady
enough to be read and show a change at once.
"""

from __future__ import annotations

from collections.abc import Sequence

from amoc.metrics import reserved
from amoc.metrics.step_names import checks_in, steps_in
from amoc.results.counts import Count
from amoc.results.series import Point, ThrottlePoint
from amoc.results.steps import without
from amoc.runtime.controller.status import Status
from amoc.scenario.arrivals import ARRIVAL_RATE
from amoc.scenario.start_rate import USER_RATE

NOW_S = 5.0
RECENT_S = 10.0
MAX_THROTTLES = 8


def latest(points: Sequence[Point], span_s: float) -> list[Point]:
    """The newest of `points` that are `span_s` long together."""
    found: list[Point] = []
    for point in reversed(points):
        if found and sum(one.span_s for one in found) + point.span_s > span_s * 1.05:
            break
        found.insert(0, point)
    return found


class Now:
    """How fast things happen now: over the last seconds, whether the run was running or not."""

    def __init__(self, status: Status) -> None:
        """Look at the last seconds of `status`."""
        self._points = latest(status.points, NOW_S)
        self._span_s = sum(point.span_s for point in self._points)

    def rate(self, count: Count) -> float:
        """How often a second something is counted; `count` is how often it was in a point."""
        return sum(map(count, self._points)) / self._span_s if self._span_s else 0.0


def in_use(status: Status) -> dict[str, ThrottlePoint]:
    """The throttles that users requested, with their totals; not the one of user starts."""
    throttles = status.totals.whole.by_throttle()
    own = (USER_RATE, ARRIVAL_RATE)
    return {name: one for name, one in throttles.items() if one.requests and name not in own}


def other_counters(status: Status) -> dict[str, int]:
    """What was counted by counters that are none of steps and checks."""
    counters, names = status.totals.whole.counters, status.totals.known
    counted = without(counters, steps_in(names), checks_in(names))
    return {name: count for name, count in counted.items() if count}


def targets(status: Status) -> dict[str, int]:
    """The timers of what is tested that have recorded something, and how often they have."""
    timers = status.totals.whole.timers
    hits = sorted(zip(timers.names, timers.hits, strict=True))
    return {name: count for name, count in hits if count and name not in reserved.TIMERS}
