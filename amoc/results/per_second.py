"""Cuts the data of a run into seconds: the points of the series. Pure.

A second ends when each node has sent a sample since the one before, or when it has lasted `MAX_NS`:
then it is cut without the late nodes, and lists them. What they send later counts in the second in
which it arrives, so nothing is lost and nothing is counted twice.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any, NamedTuple

from amoc.base.clock import MS_NS, S_NS
from amoc.base.text import natural
from amoc.ipc.messages.samples import Sample
from amoc.metrics.health_figures import NODE, NodePoint, worker_point
from amoc.metrics.step_names import CAUSE, FIRST_FAILURE, LAST_FAILURE
from amoc.metrics.throttle_counts import ThrottleCounts
from amoc.metrics.workers_together import Together
from amoc.results.merge import SampleMerger
from amoc.results.series import Point, ThrottlePoint

MAX_NS = 1_500 * MS_NS
"""Samples come each second; one that is more than half a second late is not waited for."""


class Moment(NamedTuple):
    """The part of a point that does not come from samples."""

    at: float
    """Seconds since 1970, UTC."""
    ran_ns: int
    """How long the run has been running so far, without pauses and its end."""
    state: str
    waiting: int
    """Users that have not started yet."""
    throttles: Mapping[str, ThrottlePoint]
    """The configuration of each throttle, and the controller's own counts."""
    controller_cpu: float
    controller_lag_s: float
    round_trip_s: float = 0.0


class PointCutter:
    """Makes points from the data of a `SampleMerger`."""

    def __init__(self, samples: SampleMerger) -> None:
        self._samples = samples
        self._cut_ns = 0
        self._began_ns = 0
        self._ran_ns = 0
        self._started = 0

    def begin(self, now_ns: int) -> None:
        """Start the first second, which includes everything counted before."""
        self._began_ns = self._cut_ns = now_ns
        self._samples.fresh.clear()

    def over(self, now_ns: int) -> bool:
        """Return whether a second is over."""
        if not self._cut_ns:
            return False
        fresh, latest = self._samples.fresh, self._samples.latest
        if len(fresh) == len(latest) and any(
            sample.at_ns > self._cut_ns for sample in latest.values()
        ):
            return True
        return now_ns - self._cut_ns >= MAX_NS

    @property
    def has_samples(self) -> bool:
        """Whether any node has sent a sample since the last cut."""
        return bool(self._samples.fresh)

    def _late(self) -> list[str]:
        """Return the nodes that have sent nothing since the last cut."""
        return sorted(self._samples.latest.keys() - self._samples.fresh, key=natural)

    def end_ns(self, now_ns: int) -> int:
        """Return the end of the second that is about to be cut.

        Normally that is the time at which its sample was taken, not when it arrived.
        """
        late, latest = self._late(), self._samples.latest
        sampled_ns = [latest[name].at_ns for name in self._samples.fresh]
        taken_ns = max(sampled_ns, default=now_ns)
        # Samples may have taken longer to arrive than the controller waited for them.
        return taken_ns if not late and self._cut_ns < taken_ns <= now_ns else now_ns

    def cut(self, end_ns: int, moment: Moment) -> Point | None:
        """Return the point of what arrived since the last cut; None if no time has passed since.

        Args:
            end_ns: Its end, see `end_ns`.
            moment: The state of the run at that time.
        """
        span_ns = end_ns - self._cut_ns
        span_s = round(span_ns / S_NS, 6)
        if not self._cut_ns or span_ns <= 0:
            return None
        late, latest = self._late(), self._samples.latest
        fresh = sorted(self._samples.fresh, key=natural)
        growth = self._samples.take_growth()
        users = {**self._samples.users(), "waiting": moment.waiting}
        failing = [name for name, count in growth.counters.items() if count and CAUSE in name]
        point = Point(
            t_s=round((end_ns - self._began_ns) / S_NS, 6),
            span_s=span_s,
            active_s=round(min(span_ns, max(0, moment.ran_ns - self._ran_ns)) / S_NS, 6),
            at=round(moment.at, 3),
            state=moment.state,
            users=users,
            starts=max(0, users["started"] - self._started),
            counters=growth.counters,
            gauges=self._samples.gauges(),
            timers=growth.timers,
            crashes=growth.crashes,
            failed_at=self._failed_at(failing, end_ns) if failing else {},
            throttles=self._throttles(moment, growth.throttles),
            workers=[
                worker_point(name, one, span_s) for name in fresh for one in latest[name].workers
            ],
            together=tuple(
                Together.of(name, len(one.alive), one.together, span_s)
                for name in fresh
                if (one := latest[name]).together
            ),
            nodes=[_node(name, latest[name]) for name in fresh],
            controller_cpu=moment.controller_cpu,
            controller_lag_s=round(moment.controller_lag_s, 6),
            round_trip_s=round(moment.round_trip_s, 6),
            late=late,
        )
        self._cut_ns, self._ran_ns = end_ns, moment.ran_ns
        # Users of a lost node do not count for a moment, until they start elsewhere.
        self._started = max(self._started, users["started"])
        return point

    def _failed_at(self, names: Iterable[str], end_ns: int) -> dict[str, tuple[float, float]]:
        """Return when failures with each cause were first and last in a second ending at `end_ns`.

        The default is the beginning and end of the second, if the time is not known, for example
        because the worker was killed, or if the failures were first counted before the second.
        """
        moments = self._samples.moments()
        begin_s, end_s = self._cut_ns / S_NS, end_ns / S_NS

        def moment(name: str, otherwise_s: float) -> float:
            at_s = moments.get(name, otherwise_s)
            known_s = at_s if begin_s <= at_s <= end_s else otherwise_s
            return round(known_s - self._began_ns / S_NS, 3)

        return {
            name: (moment(FIRST_FAILURE + name, begin_s), moment(LAST_FAILURE + name, end_s))
            for name in names
        }

    def _throttles(
        self, moment: Moment, counts: Mapping[str, ThrottleCounts]
    ) -> dict[str, ThrottlePoint]:
        waiting = self._samples.waiting()
        stopped, nothing = ThrottlePoint(), ThrottleCounts()
        points = {}
        for name in sorted(moment.throttles.keys() | counts.keys()):
            known = moment.throttles.get(name, stopped)
            requests, executions, missed = counts.get(name, nothing)
            points[name] = ThrottlePoint(  # per throttle, so fast: `_replace` takes twice as long
                known.rate,
                known.interval_s,
                known.mode,
                known.requests + requests,
                known.executions + executions,
                known.missed + missed,
                waiting.get(name, 0),
                known.wanted,
            )
        return points


def _node(name: str, sample: Sample) -> NodePoint:
    return NodePoint(name, **dict(zip(NODE, map(_rounded, sample.host), strict=True)))


def _rounded(value: float) -> Any:  # Any: some are whole numbers
    return round(value, 6) if isinstance(value, float) else value
