"""Live figures of a run, from `Status` alone. Pure.

*Now* means the last seconds: `NOW_S` for rates and `RECENT_S` for percentiles. That is long enough
for steady figures, and short enough to show changes at once.
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
    """Return the newest of `points`, with a total length of `span_s`."""
    found: list[Point] = []
    for point in reversed(points):
        if found and sum(one.span_s for one in found) + point.span_s > span_s * 1.05:
            break
        found.insert(0, point)
    return found


class Now:
    """Current rates: those of the last seconds, whether the run was running or not."""

    def __init__(self, status: Status) -> None:
        """Use the last seconds of `status`."""
        self._points = latest(status.points, NOW_S)
        self._span_s = sum(point.span_s for point in self._points)

    def rate(self, count: Count) -> float:
        """Return the rate of something per second; `count` returns its number in a point."""
        return sum(map(count, self._points)) / self._span_s if self._span_s else 0.0


def in_use(status: Status) -> dict[str, ThrottlePoint]:
    """Return the throttles of the scenario with their totals, without the one for user starts."""
    throttles = status.totals.whole.by_throttle()
    own = (USER_RATE, ARRIVAL_RATE)
    return {name: one for name, one in throttles.items() if one.requests and name not in own}


def other_counters(status: Status) -> dict[str, int]:
    """Return the counters that do not belong to steps or checks, with their values."""
    counters, names = status.totals.whole.counters, status.totals.known
    counted = without(counters, steps_in(names), checks_in(names))
    return {name: count for name, count in counted.items() if count}


def targets(status: Status) -> dict[str, int]:
    """Return the timers that have recorded something, with their counts."""
    timers = status.totals.whole.timers
    hits = sorted(zip(timers.names, timers.hits, strict=True))
    return {name: count for name, count in hits if count and name not in reserved.TIMERS}
