"""Merges the samples of all nodes, so that loss, repetition or delay cannot falsify totals. Pure.

A sample holds totals of what has grown since one that is known to have arrived (`Sample`). A total
only grows, so the larger of two is the newer. A sample therefore adds the amount by which its
totals exceed those known, in any order and any number of times. Values that go up and down (users,
gauges, workers) are taken from each node's sample with the highest sequence.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field

from amoc.ipc.messages.samples import Sample
from amoc.ipc.messages.users import UsersNow
from amoc.metrics import gauge_sums
from amoc.metrics.board import UserState
from amoc.metrics.gauge_sums import GaugeSum
from amoc.metrics.histogram import Histogram
from amoc.metrics.node_timers import NodeTimers
from amoc.metrics.step_names import is_moment
from amoc.metrics.throttle_counts import ThrottleCounts
from amoc.metrics.timer_block import TimerBlock
from amoc.results.series import add_counts

_ENDED = frozenset({UserState.FINISHED, UserState.CRASHED, UserState.REMOVED, UserState.TIMED_OUT})
_RUNNING = frozenset({UserState.RUNNING, UserState.BETWEEN, UserState.STOPPING})
_EXPECTED = _RUNNING | {UserState.STARTING, UserState.RESTARTING}
_USERS = {
    "running": _RUNNING,
    "resting": {UserState.BETWEEN},
    "started": frozenset(UserState) - {UserState.NONE, UserState.STARTING},
    "finished": {UserState.FINISHED, UserState.CRASHED},
    "removed": {UserState.REMOVED},
    "timed_out": {UserState.TIMED_OUT},
    "lost": {UserState.LOST},
}
"""The user states that make up each count; restarts are not starts."""
_COUNTED_AS: Mapping[int, Sequence[str]] = {
    state: [name for name, some in _USERS.items() if state in some] for state in UserState
}


@dataclass
class Counts:
    """Counts and durations by name: totals, or their growth.

    Attributes:
        counters: Values of counters.
        crashes: Iterations that raised, by cause.
        timers: Recorded durations.
        throttles: Counts of each throttle.
    """

    counters: dict[str, int] = field(default_factory=dict)
    crashes: dict[str, int] = field(default_factory=dict)
    timers: Mapping[str, Histogram] = field(default_factory=TimerBlock)
    throttles: dict[str, ThrottleCounts] = field(default_factory=dict)


class SampleMerger:
    """The merged samples of all nodes.

    Attributes:
        latest: Each node's sample with the highest sequence.
        peak: The most users alive at once, as the nodes measure it twenty times a second, and never
            less than the exact peak of the busiest worker.
        crashed: Iterations that raised.
        fresh: Nodes that have sent a newer sample since the last second was cut.
    """

    def __init__(self) -> None:
        self.latest: dict[str, Sample] = {}
        self.fresh: set[str] = set()
        self.peak = self.crashed = 0
        self._peaks = 0  # the sum over the nodes' latest samples
        self._now: dict[str, UsersNow] = {}
        self._left: Counter[int] = Counter()  # users of lost nodes, by how they ended
        self._restarted = 0  # by workers of these nodes
        self._moments: dict[str, GaugeSum] = {}
        self._nodes: dict[str, Counts] = {}
        # All names seen so far, including those that have not counted anything.
        self._counters, self._crashes = set[str](), set[str]()
        self._growth = Counts()
        self._timers = NodeTimers()

    def take(
        self, name: str, sample: Sample, yield_if_due: Callable[[], None] = lambda: None
    ) -> bool:
        """Take a sample.

        Args:
            name: The node that sent it.
            sample: The sample.
            yield_if_due: Called between parts of the work.

        Returns:
            Whether it is the newest of that node.
        """
        node, growth = self._nodes.setdefault(name, Counts()), self._growth
        _raise(node.counters, sample.counters, self._counters, growth.counters)
        self.crashed += _raise(node.crashes, sample.crashes, self._crashes, growth.crashes)
        for throttle, said in sample.throttles.items():
            more = counts = ThrottleCounts._make(said)
            if (known := node.throttles.get(throttle)) is not None:
                more = counts.beyond(known)
                if not any(more):
                    continue  # nothing new
                counts = known.plus(more)
            node.throttles[throttle] = counts
            grown_by = growth.throttles.get(throttle)
            growth.throttles[throttle] = more if grown_by is None else grown_by.plus(more)
        if sample.timers:
            yield_if_due()
            self._timers.take(name, sample.timers, yield_if_due)
        before = self.latest.get(name)
        newest = before is None or sample.sequence > before.sequence
        if newest:
            self.latest[name] = sample
            self.fresh.add(name)
            self._peaks += sample.users_peak - (0 if before is None else before.users_peak)
            self.peak = max(self.peak, self._peaks)
        return newest

    def take_users(self, name: str, now: UsersNow) -> None:
        """Take the user states of node `name`, sent between two samples."""
        self._now[name] = now

    def drop_users_now(self, name: str) -> None:
        """Fall back to the last sample of a node: users that have left since are not identified."""
        self._now.pop(name, None)

    def lose(self, name: str, lost: int) -> None:
        """Remove a node. Its counts stay, and so do its users that had already ended.

        Args:
            name: The node.
            lost: How many of its users will not be started again on another node.
        """
        if name not in self.latest:
            return
        self._restarted += self.latest[name].restarted
        gauges = self.latest[name].gauges.items()
        gauge_sums.add(self._moments, ((gauge, one) for gauge, one in gauges if is_moment(gauge)))
        for state, count in self.latest[name].users.items():
            # Users removed by a command will not come back to finish their iteration.
            ended = UserState.REMOVED if state == UserState.STOPPING else UserState(state)
            if ended in _ENDED:
                self._left[ended] += count
        self._left[UserState.LOST] += lost
        self._peaks -= self.latest.pop(name).users_peak
        self.fresh.discard(name)
        self.drop_users_now(name)

    def _newest(self) -> list[Sample | UsersNow]:
        """Return each node's latest report about its users."""
        return [
            max(sample, self._now.get(name, sample), key=_at_ns)
            for name, sample in self.latest.items()
        ]

    def alive(self, name: str) -> dict[int, int]:
        """Return how many users each worker of a node has, by worker number."""
        now, sample = self._now.get(name), self.latest[name]
        alive = now.alive if now is not None and now.at_ns > sample.at_ns else sample.alive
        return dict(enumerate(alive, sample.first))

    def users_on(self, name: str) -> int:
        """Return how many users a node has; 0 if it has sent nothing."""
        return sum(self.alive(name).values()) if name in self.latest else 0

    def take_growth(self) -> Counts:
        """Return the growth since the last call."""
        self.fresh = set()
        growth, self._growth = self._growth, Counts()
        growth.timers = self._timers.growth()
        return growth

    def _by_state(self) -> dict[int, int]:
        found = dict(self._left)
        for one in self._newest():
            add_counts(found, one.users)
        return found

    @property
    def at_ns(self) -> int:
        """The age of this data: the time of the oldest of the nodes' latest reports; 0 if none."""
        return min(map(_at_ns, self._newest()), default=0)

    @property
    def expected(self) -> int:
        """Users that are running, waiting for their next iteration, or about to be started."""
        found = self._by_state()
        return sum(found.get(state, 0) for state in _EXPECTED)

    def users(self) -> dict[str, int]:
        """Return the counts of users named in `amoc.results.series.USERS`, without the waiting."""
        counts = dict.fromkeys(_USERS, 0)
        for state, count in self._by_state().items():
            for name in _COUNTED_AS.get(state, ()):
                counts[name] += count
        return {
            **counts,
            "crashed": self.crashed,
            "restarted": self._restarted + sum(one.restarted for one in self.latest.values()),
            "peak": self.peak,
        }

    def gauges(self) -> dict[str, float]:
        """Return the gauges, each merged over all workers by its rule."""
        return self._merged(lambda name: not is_moment(name))

    def moments(self) -> dict[str, float]:
        """Return when steps failed first and last, see `amoc.metrics.step_names`."""
        return self._merged(is_moment)

    def _merged(self, wanted: Callable[[str], bool]) -> dict[str, float]:
        sums: dict[str, GaugeSum] = {}
        for gauges in (self._moments, *(sample.gauges for sample in self.latest.values())):
            gauge_sums.add(sums, ((name, one) for name, one in gauges.items() if wanted(name)))
        return {name: gauge_sums.value_of(one) for name, one in sorted(sums.items())}

    def waiting(self) -> dict[str, int]:
        """Return how many users wait at each throttle that has any waiting."""
        waiting: dict[str, int] = {}
        for sample in self.latest.values():
            for name, count in sample.waiting.items():
                waiting[name] = waiting.get(name, 0) + count
        return waiting


def _at_ns(one: Sample | UsersNow) -> int:
    return one.at_ns


def _raise(
    known: dict[str, int], said: Mapping[str, int], names: set[str], growth: dict[str, int]
) -> int:
    """Raise `known` counts to those in `said`, and `growth` by the difference; return its sum."""
    grown = 0
    for name, count in said.items():
        more = count - known.get(name, 0)
        if more > 0:
            names.add(name)
            known[name] = count
            growth[name] = growth.get(name, 0) + more
            grown += more
        elif name not in names:
            names.add(name)
            growth[name] = 0
    return grown
