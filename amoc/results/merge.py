"""Samples of all nodes merged: no loss, repetition or delay of one can falsify what they say. Pure.

A sample holds totals of what has grown since one that is known to have arrived (`Sample`). A total
only grows, so of two the larger is the newer: a sample adds by how much its totals exceed what was
known, in any order and as often as one likes. What goes up and down (users, gauges, workers) is
taken from each node's sample with the highest sequence.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Mapping
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
"""The states of users in each count of them; restarts are no starts."""


@dataclass
class Counts:
    """What was counted and recorded, by name: totals, or by how much they have grown.

    Attributes:
        counters: How often something was counted.
        crashes: Iterations that raised, by cause.
        timers: Recorded durations.
        throttles: What happened at each.
    """

    counters: dict[str, int] = field(default_factory=dict)
    crashes: dict[str, int] = field(default_factory=dict)
    timers: Mapping[str, Histogram] = field(default_factory=TimerBlock)
    throttles: dict[str, ThrottleCounts] = field(default_factory=dict)


class SampleMerger:
    """What all nodes have said.

    Attributes:
        latest: Each node's sample with the highest sequence.
        peak: The most users that were alive at once, as the nodes saw it twenty times a second, and
            never less than the exact peak of the busiest worker.
        crashed: Iterations that raised.
        fresh: Nodes of which a newer sample has come since the last second was cut.
    """

    def __init__(self) -> None:
        self.latest: dict[str, Sample] = {}
        self.fresh: set[str] = set()
        self.peak = self.crashed = 0
        self._peaks = 0  # of the nodes' latest samples together
        self._now: dict[str, UsersNow] = {}
        self._left: Counter[int] = (
            Counter()
        )  # users that nodes were lost with, by how they had ended
        self._restarted = 0  # by workers of these nodes
        self._moments: dict[str, GaugeSum] = {}
        self._nodes: dict[str, Counts] = {}
        # The names that were heard of; what has counted nothing yet is there, too.
        self._counters, self._crashes = set[str](), set[str]()
        self._growth = Counts()
        self._timers = NodeTimers()

    def take(
        self, name: str, sample: Sample, yield_if_due: Callable[[], None] = lambda: None
    ) -> bool:
        """Take a sample.

        Args:
            name: The node that it is of.
            sample: What that has said.
            yield_if_due: Called between two parts of the work.

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
                    continue  # it was said before
                counts = known.plus(more)
            node.throttles[throttle] = counts
            grown_by = growth.throttles.get(throttle)
            growth.throttles[throttle] = more if grown_by is None else grown_by.plus(more)
        if sample.timers:
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
        """Take where users of node `name` stand, between two samples."""
        self._now[name] = now

    def drop_look(self, name: str) -> None:
        """Go by the last sample of a node: who has left since then is not known by name."""
        self._now.pop(name, None)

    def lose(self, name: str, lost: int) -> None:
        """A node is no more: what it has counted stays, and how users of it have ended.

        Args:
            name: The node.
            lost: How many of its users will not start again on another one.
        """
        if name not in self.latest:
            return
        self._restarted += self.latest[name].restarted
        gauges = self.latest[name].gauges.items()
        gauge_sums.add(self._moments, ((gauge, one) for gauge, one in gauges if is_moment(gauge)))
        for state, count in self.latest[name].users.items():
            # Those that a command had removed will not come back to end their iteration.
            ended = UserState.REMOVED if state == UserState.STOPPING else UserState(state)
            if ended in _ENDED:
                self._left[ended] += count
        self._left[UserState.LOST] += lost
        self._peaks -= self.latest.pop(name).users_peak
        self.fresh.discard(name)
        self.drop_look(name)

    def _newest(self) -> list[Sample | UsersNow]:
        """What each node said last of its users."""
        return [
            max(sample, self._now.get(name, sample), key=_at_ns)
            for name, sample in self.latest.items()
        ]

    def alive(self, name: str) -> dict[int, int]:
        """How many users each worker of a node has, by its number."""
        now, sample = self._now.get(name), self.latest[name]
        alive = now.alive if now is not None and now.at_ns > sample.at_ns else sample.alive
        return dict(enumerate(alive, sample.first))

    def users_on(self, name: str) -> int:
        """How many users a node has; none where nothing was heard of it."""
        return sum(self.alive(name).values()) if name in self.latest else 0

    def take_growth(self) -> Counts:
        """What has grown since this was last asked."""
        self.fresh = set()
        growth, self._growth = self._growth, Counts()
        growth.timers = self._timers.growth()
        return growth

    def _by_state(self) -> Counter[int]:
        found = Counter(self._left)
        for one in self._newest():
            found.update(one.users)
        return found

    @property
    def at_ns(self) -> int:
        """How old this is: when the node that was sampled first was; 0 before that."""
        return min(map(_at_ns, self._newest()), default=0)

    @property
    def expected(self) -> int:
        """Users that run, wait for their next repetition, or are to be started by a worker."""
        found = self._by_state()
        return sum(found[state] for state in _EXPECTED)

    def users(self) -> dict[str, int]:
        """How many users there are of each of `amoc.results.series.USERS` but those that wait."""
        found = self._by_state()
        return {
            **{name: sum(found[state] for state in some) for name, some in _USERS.items()},
            "crashed": self.crashed,
            "restarted": self._restarted + sum(one.restarted for one in self.latest.values()),
            "peak": self.peak,
        }

    def gauges(self) -> dict[str, float]:
        """The gauges, each merged over all workers by its rule."""
        return self._merged(lambda name: not is_moment(name))

    def moments(self) -> dict[str, float]:
        """When steps have failed, first and last, see `amoc.metrics.step_names`."""
        return self._merged(is_moment)

    def _merged(self, wanted: Callable[[str], bool]) -> dict[str, float]:
        sums: dict[str, GaugeSum] = {}
        for gauges in (self._moments, *(sample.gauges for sample in self.latest.values())):
            gauge_sums.add(sums, ((name, one) for name, one in gauges.items() if wanted(name)))
        return {name: gauge_sums.value_of(one) for name, one in sorted(sums.items())}

    def waiting(self) -> dict[str, int]:
        """How many users wait at each throttle, where any do."""
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
    """Raise what is `known` to what is `said`, and the growth by as much; by how much."""
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
