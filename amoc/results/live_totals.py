"""What is known of a run: the nodes' samples merged, and the summary made of them. Pure."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from math import isfinite
from typing import Any

from amoc.ipc.messages import Sample, WorkerFigures
from amoc.metrics import health_figures
from amoc.metrics.board import Merge, UserState
from amoc.metrics.histogram import Histogram
from amoc.metrics.throttle_counts import COUNTS, WAITING
from amoc.results.merge import SampleMerger
from amoc.results.series import ThrottlePoint, add_counts

QUANTILES = {"p50_s": 0.5, "p90_s": 0.9, "p95_s": 0.95, "p99_s": 0.99, "p999_s": 0.999}

BUILT_IN_TIMERS = (
    "loop_lag",
    "user_start_lateness",
    "token_lateness",
    "coordinator_action_delay",
)
"""Timers that tell about amoc itself; shown apart from those of the target."""
_MERGE: dict[Merge, Callable[[list[float]], float]] = {
    Merge.SUM: sum,
    Merge.MAX: max,
    Merge.MIN: min,
    Merge.MEAN: lambda values: sum(values) / len(values),
}
_STARTED = frozenset(UserState) - {UserState.NONE, UserState.STARTING}
_RUNNING = frozenset({UserState.RUNNING, UserState.BETWEEN, UserState.STOPPING})
_EXPECTED = _RUNNING | {UserState.STARTING, UserState.RESTARTING}


@dataclass
class LiveTotals:
    """The latest totals of a run, and what can be said of them.

    Attributes:
        merged: What the nodes have told.
        peak: The most users that were alive at once, as the nodes saw it twenty times a second, and
            never less than the exact peak of the busiest worker.
        starts_per_s_peak: The most user starts in a second, between two samples.
    """

    merged: SampleMerger = field(default_factory=SampleMerger)
    peak: int = 0
    starts_per_s_peak: float = 0.0
    _rates: dict[str, float] = field(default_factory=dict)

    def take(self, node: str, sample: Sample) -> bool:
        """Take a sample of `node`; whether it is the newest of that node."""
        before = self._latest.get(node)
        newest = self.merged.take(node, sample)
        if not newest:
            return False
        self.peak = max(self.peak, sum(one.users_peak for one in self._latest.values()))
        if before is not None:
            span_s = (sample.at_ns - before.at_ns) / 1e9
            # A shorter span, as at the end of a run, says little about a second.
            if span_s >= 0.5:
                self._rates[node] = (_starts(sample) - _starts(before)) / span_s
                self.starts_per_s_peak = max(self.starts_per_s_peak, self.starts_per_s)
        return True

    @property
    def _latest(self) -> dict[str, Sample]:
        return self.merged.latest

    @property
    def starts_per_s(self) -> float:
        """User starts per second between the last two samples."""
        return sum(self._rates.values())

    def _users(self, states: frozenset[UserState]) -> int:
        return sum(
            count
            for sample in self._latest.values()
            for state, count in sample.users.items()
            if state in states
        )

    @property
    def nodes(self) -> list[str]:
        """The nodes that have sent a sample."""
        return sorted(self._latest)

    @property
    def at_ns(self) -> int:
        """How old the figures are: when the node that was sampled first was; 0 before that."""
        return min((sample.at_ns for sample in self._latest.values()), default=0)

    @property
    def expected(self) -> int:
        """Users that run, wait for their next repetition, or are to be started by a worker."""
        return self._users(_EXPECTED)

    @property
    def started(self) -> int:
        """Users that ever ran; not repetitions, not restarts."""
        return self._users(_STARTED)

    @property
    def running(self) -> int:
        """Users that run, or wait for their next repetition."""
        return self._users(_RUNNING)

    @property
    def finished(self) -> int:
        """Users that left for good after their last repetition."""
        return self._users(frozenset({UserState.FINISHED, UserState.CRASHED}))

    @property
    def removed(self) -> int:
        """Users that were taken out before that."""
        return self._users(frozenset({UserState.REMOVED}))

    @property
    def restarted(self) -> int:
        """Users started again because their worker was lost."""
        return sum(figures.restarted for node in self._latest for figures in self.workers(node))

    @property
    def crashed(self) -> int:
        """Iterations that raised."""
        return sum(self.crashes().values())

    def crashes(self) -> dict[str, int]:
        """Iterations that raised, by cause, the most frequent first."""
        return dict(sorted(sorted(self.merged.total.crashes.items()), key=lambda item: -item[1]))

    def counters(self) -> dict[str, int]:
        """Totals of the counters, by name."""
        return dict(sorted(self.merged.total.counters.items()))

    def gauges(self) -> dict[str, float]:
        """The gauges, each merged over all workers by its rule."""
        values: dict[str, tuple[Merge, list[float]]] = {}
        for sample in self._latest.values():
            for name, (merge, some) in sample.gauges.items():
                values.setdefault(name, (Merge(merge), []))[1].extend(some)
        return {
            name: _MERGE[merge](all_of_them)
            for name, (merge, all_of_them) in sorted(values.items())
        }

    def throttles(self) -> dict[str, dict[str, int]]:
        """What happened at each throttle (`ThrottleCounts`), and how many are `waiting`."""
        waiting = self.waiting()
        return {
            name: {**counts._asdict(), WAITING: waiting.get(name, 0)}
            for name, counts in sorted(self.merged.total.throttles.items())
        }

    def waiting(self) -> dict[str, int]:
        """How many users wait at each throttle, where any do."""
        waiting: dict[str, int] = {}
        for sample in self._latest.values():
            add_counts(waiting, sample.waiting)
        return waiting

    def timers(self) -> dict[str, Histogram]:
        """The timers, merged over all workers."""
        return dict(sorted(self.merged.total.timers.items()))

    def workers(self, node: str | None = None) -> list[WorkerFigures]:
        """The workers' own figures, of one node or of all."""
        return [
            WorkerFigures(*figures)
            for name, sample in sorted(self._latest.items())
            if node is None or name == node
            for figures in sample.workers
        ]

    def _throttles(self, known: Mapping[str, ThrottlePoint], duration_s: float) -> dict[str, Any]:
        """The throttles for the summary, those that were stopped included."""
        counted, found = self.throttles(), {}
        for name in sorted(counted.keys() | known.keys()):
            state = known.get(name, ThrottlePoint())
            counts = counted.get(name, dict.fromkeys((*COUNTS, WAITING), 0))
            found[name] = throttle_summary(state, counts, duration_s)
        return found

    def summary(
        self, run: Mapping[str, Any], throttles: Mapping[str, ThrottlePoint] | None = None
    ) -> dict[str, Any]:
        """The summary as `docs/summary.md` describes it.

        Args:
            run: Its first part.
            throttles: What each throttle that is still there is configured for, by name.
        """
        # A run may be too short for two samples; its mean rate is a lower bound of the peak.
        mean_rate = self.started / run["duration_s"] if run["duration_s"] else 0.0
        return {
            "run": dict(run),
            "users": {
                "started": self.started,
                "finished": self.finished,
                "crashed": self.crashed,
                "removed": self.removed,
                "restarted": self.restarted,
                "peak": self.peak,
                "running": self.running,
                "starts_per_s_peak": round(max(self.starts_per_s_peak, mean_rate), 1),
            },
            "crashes": [
                {"cause": cause, "count": count} for cause, count in self.crashes().items()
            ],
            "counters": self.counters(),
            "gauges": {name: finite(value) for name, value in self.gauges().items()},
            "timers": {name: timer_summary(one) for name, one in self.timers().items()},
            "throttles": self._throttles(throttles or {}, run["duration_s"]),
            "workers": [
                {
                    "node": node,
                    "worker": one.worker,
                    "restarts": max(0, one.incarnation - 1),
                    "users_peak": one.users_peak,
                    "cpu_s": health_figures.total(one.health, "cpu") / 1e9,
                    "max_rss_bytes": one.max_rss_bytes,
                    "loop_lag_p99_s": one.loop_lag_p99_s,
                }
                for node in sorted(self._latest)
                for one in self.workers(node)
            ],
        }


def throttle_summary(
    state: ThrottlePoint, counts: Mapping[str, int], duration_s: float
) -> dict[str, Any]:
    """A throttle for the summary: how it is configured, and its `counts` over `duration_s`."""
    mean = counts["executions"] / duration_s if duration_s else 0.0
    return {
        "rate": state.rate,
        "interval_s": state.interval_s,
        "mode": state.mode,
        **counts,
        "executions_per_s": round(mean, 3),
    }


def finite(value: float) -> float | None:
    """`value` for JSON, which knows no infinity."""
    return value if isfinite(value) else None


def _starts(sample: Sample) -> int:
    return sum(count for state, count in sample.users.items() if state in _STARTED)


def timer_summary(timer: Histogram) -> dict[str, float]:
    """A timer's figures, in seconds."""
    quantiles = dict(zip(QUANTILES, timer.quantiles_s(*QUANTILES.values()), strict=True))
    return {"count": timer.count, "mean_s": timer.mean_s, **quantiles, "max_s": timer.max_ns / 1e9}
