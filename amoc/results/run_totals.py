"""The sums over a run's points, from which its summary is made. Pure.

A running controller adds each second as it ends; a reader of the directory adds those in the
series. Both compute the same sum, so the summary written by the run and one made later agree.

The points of a long run do not fit into memory, so each is read once and released.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator
from dataclasses import dataclass, field, replace
from typing import Self

from amoc.base.clock import S_NS
from amoc.base.text import counted
from amoc.metrics.area import Kind
from amoc.metrics.health_figures import WorkerPoint
from amoc.metrics.histogram import MAX_NS
from amoc.metrics.request_names import BEYOND
from amoc.metrics.reserved import ITERATIONS, OUTLIVED
from amoc.metrics.step_names import AGGREGATED, COUNT, FAILURES, steps_in
from amoc.results import connection_facts, feed_facts, message_account, name_facts
from amoc.results.arrival_totals import ArrivalTotals
from amoc.results.generator_health import Health
from amoc.results.rate_shortfall import Shortfall
from amoc.results.rest import Rest
from amoc.results.series import Point, Tally
from amoc.results.store.reader import stretches
from amoc.results.user_targets import StageTargets
from amoc.results.warm_up import WarmUp
from amoc.scenario.arrivals import ARRIVAL_RATE, Arrivals
from amoc.scenario.load_profile import Stages
from amoc.scenario.start_rate import USER_RATE

MAX_MIN = MAX_NS // (60 * S_NS)
"""The value that longer durations count as in means and percentiles."""
MIN_SPAN_S = 0.5
"""A shorter point, such as the last one of a run, says little about rates per second."""


@dataclass
class _Peak:
    """The most user starts in a second."""

    per_s: float = 0.0
    _starts: int = 0
    _span_s: float = 0.0

    def add(self, point: Point) -> None:
        self._starts += point.starts
        self._span_s += point.span_s
        if self._span_s >= MIN_SPAN_S:
            self.per_s = max(self.per_s, self._starts / self._span_s)
            self._starts, self._span_s = 0, 0.0


@dataclass
class RunTotals:
    """The sums of a run.

    Attributes:
        warmup: The part that the window leaves out.
        whole: The sum of all points.
        window: The sum of those after the warm-up, which the verdict is based on. Without a
            warm-up it is `whole`.
        health: The health of the generator in the window.
        stages: The targets of its stages, and whether they were reached.
        arrivals: The arrival rate, and how much of it was reached.
        rest: How long users rested in the window.
        shortfall: Throttles that did not reach their rate in the window.
        known: All metrics of the run, and their kinds.
        workers: The latest figures of each worker, by node and number.
        judged: Whether each second was evaluated. If not, `health` and whatever else depends on
            single seconds, such as `shortfall`, is empty.
    """

    warmup: WarmUp = field(default_factory=WarmUp)
    stages: StageTargets = field(default_factory=lambda: StageTargets(None))
    arrivals: ArrivalTotals = field(default_factory=lambda: ArrivalTotals(None))
    whole: Tally = field(default_factory=Tally)
    window: Tally = field(init=False)
    health: Health = field(default_factory=Health)
    rest: Rest = field(default_factory=Rest)
    shortfall: Shortfall = field(
        default_factory=lambda: Shortfall(frozenset({USER_RATE, ARRIVAL_RATE}))
    )
    known: dict[str, Kind] = field(default_factory=dict)
    workers: dict[tuple[str, int], WorkerPoint] = field(default_factory=dict)
    judged: bool = True
    _starts: _Peak = field(default_factory=_Peak)

    def __post_init__(self) -> None:
        self.window = self.whole if self.warmup.over else Tally()

    @classmethod
    def planned(
        cls, warmup_s: float, stages: Stages | None, arrivals: Arrivals | None, others: int
    ) -> Self:
        """Make the totals of a run that is about to start, see `of`."""
        # Users started by arrivals would be taken for users that the stages wanted.
        targets = StageTargets(stages if arrivals is None else None)
        return cls(WarmUp(warmup_s), targets, ArrivalTotals(arrivals, others))

    @classmethod
    def of(
        cls,
        points: Collection[Point],
        warmup_s: float = 0.0,
        stages: Stages | None = None,
        arrivals: Arrivals | None = None,
        others: int = 0,
        yield_if_due: Callable[[], None] = lambda: None,
        on_point: Callable[[Point], None] = lambda _: None,
    ) -> Self:
        """Make the totals of points, which must be in order.

        Args:
            points: All of them.
            warmup_s: The part that the window leaves out.
            stages: The planned number of users over time.
            arrivals: The planned arrival rate over time.
            others: How many users there were besides those of `arrivals`.
            yield_if_due: Called between two points.
            on_point: Called with each point, so that the caller need not read them all again.
        """
        totals = cls.planned(warmup_s, stages, arrivals, others)
        for point in totals.reading(points, yield_if_due):
            on_point(point)
            yield_if_due()
        return totals

    @classmethod
    def overview(
        cls,
        points: Collection[Point],
        warmup_s: float = 0.0,
        yield_if_due: Callable[[], None] = lambda: None,
        on_point: Callable[[Point], None] = lambda _: None,
    ) -> Self:
        """Make the totals of a long run from its minutes: all counts and durations, not `judged`.

        Reading minutes takes a fiftieth of the time. The arguments are those of `of`.
        """
        totals = cls(WarmUp(warmup_s), judged=False)
        for some in stretches(points, lambda _: not totals.warmup.over):
            totals._count(some)
            on_point(some)
            yield_if_due()
        return totals

    def reading(
        self,
        points: Collection[Point],
        yield_if_due: Callable[[], None] = lambda: None,
        seen: RunTotals | None = None,
    ) -> Iterator[Point]:
        """Add points one by one, one for each step, including those that arrive meanwhile.

        The last step adds their timers, or copies those of `seen`, an `overview` to which all new
        points were added.
        """
        warmup = WarmUp(self.warmup.left_s)
        for point in points:
            self.add(point, timers=False)
            yield point
        if seen is not None:
            self.whole.timers, self.window.timers = seen.whole.timers, seen.window.timers
            return
        for some in stretches(points, lambda _: not warmup.over):
            yield_if_due()
            (self.whole if warmup.take(some) else self.window).timers.add(some.timers)
        if self.window is not self.whole:
            self.whole.add_timers_of(self.window)

    def add(
        self, point: Point, timers: bool = True, yield_if_due: Callable[[], None] = lambda: None
    ) -> list[str]:
        """Add the next point.

        Args:
            point: The point.
            timers: Whether to add its timers.
            yield_if_due: Called between parts of the work.

        Returns:
            Warnings for the operator, each only once per run, see `name_facts` and `Health.take`.
        """
        beyond = self.whole.counters.get(BEYOND, 0)
        warm = self._count(point, timers, yield_if_due)
        self._starts.add(point)
        self.stages.take(point)
        self.arrivals.take(point)
        said = name_facts.warnings(beyond, self.whole.counters)
        if warm or not self.judged:
            return said
        self.rest.take(point)
        self.shortfall.take(point)
        return said + self.health.take(point)

    def _count(
        self, point: Point, timers: bool = True, yield_if_due: Callable[[], None] = lambda: None
    ) -> bool:
        """Add the sums of a point, a second or longer; return whether it belongs to the warm-up."""
        self.whole.add(point, timers, yield_if_due)
        self.known |= dict.fromkeys(point.counters, Kind.COUNTER)
        self.known |= dict.fromkeys(point.gauges, Kind.GAUGE)
        self.known |= dict.fromkeys(point.timers, Kind.TIMER)
        for one in point.workers:
            place = (one.node, one.worker)
            self.workers[place] = _since_the_start(self.workers.get(place), one, point.span_s)
        warm = self.warmup.take(point)
        if not warm and self.window is not self.whole:
            self.window.add(point, timers, yield_if_due)
        return warm

    def notes(self) -> list[str]:
        """Return what readers of the results should know, one sentence each."""
        timers = self.window.timers
        longest_ns = zip(timers.names, timers.max_ns, strict=True)
        beyond = [name for name, max_ns in longest_ns if max_ns > MAX_NS]
        return [
            *self._not_started(),
            *self.stages.notes(),
            *self.arrivals.notes(self.window.counters),
            *self._outlived(),
            *message_account.notes(
                self.whole.counters, any(one.incarnation > 1 for one in self.workers.values())
            ),
            *feed_facts.notes(self.whole),
            *name_facts.notes(self.whole.counters),
            *(() if self.futile() or self.arrivals.arrivals else self.rest.notes()),
            *self.shortfall.notes(),
            *connection_facts.notes(self.whole.counters),
            *(
                f"timer {name} has durations above {MAX_MIN} min, which count as {MAX_MIN} min in"
                " its mean and percentiles; its maximum is exact"
                for name in sorted(beyond)
            ),
        ]

    def futile(self, stopped: bool = False) -> str:
        """Return a sentence if nothing that users tried succeeded; empty if something did.

        Args:
            stopped: Whether an operator stopped the run.
        """
        counters, crashed = self.whole.counters, sum(self.whole.crashes.values())
        if crashed and not counters.get(ITERATIONS):
            return f"no iteration succeeded: {counted(crashed, 'iteration')} crashed"
        requests = counters.get(AGGREGATED + COUNT, 0)
        if never := connection_facts.never_connected(counters, stopped):
            return never
        if requests and counters.get(AGGREGATED + FAILURES) == requests:
            if any(
                counters.get(name + COUNT, 0) > counters.get(name + FAILURES, 0)
                for name in steps_in(self.known)
            ):
                return f"every request or the step around it failed: {counted(requests, 'request')}"
            return f"no request succeeded: {counted(requests, 'request')} failed"
        return ""

    def _not_started(self) -> list[str]:
        users = self.whole.last.users if self.whole.last is not None else {}
        if not (waiting := users.get("waiting", 0)):
            return []
        of = counted(waiting + users.get("started", 0), "user")
        return [f"{waiting:,} of {of} had not started when the run ended"]

    def _outlived(self) -> list[str]:
        left = self.whole.counters.get(OUTLIVED, 0)
        return [f"{counted(left, 'greenlet')} outlived the users that spawned them"] if left else []

    @property
    def starts_per_s_peak(self) -> float:
        """The most user starts in a second; the mean rate if the run was too short for that."""
        return max(self._starts.per_s, self.whole.per_second(lambda tally: tally.starts) or 0.0)


def _since_the_start(before: WorkerPoint | None, now: WorkerPoint, span_s: float) -> WorkerPoint:
    """Return `now` with its totals, which the series of earlier versions lack."""
    if before is None:
        before = replace(now, cpu_s=0.0)
    peak = max(before.users_peak, now.users_peak, now.users)
    rss_bytes = max(before.max_rss_bytes, now.max_rss_bytes, now.rss_bytes)
    if (
        now.cpu_s
        and now.loop_lag_p99_s
        and (peak, rss_bytes) == (now.users_peak, now.max_rss_bytes)
    ):
        return now  # nearly always the case, and by far the cheapest
    return replace(
        now,
        users_peak=peak,
        cpu_s=now.cpu_s or before.cpu_s + now.cpu * span_s,
        max_rss_bytes=rss_bytes,
        loop_lag_p99_s=now.loop_lag_p99_s or max(before.loop_lag_p99_s, now.lag_p99_s),
    )
