"""Which metrics have charts, busiest first, and how many have none. Pure.

Nobody can read a page with a thousand lines, so the number of charts is limited; tables are
complete.

Which metrics are the busiest changes during a run. What has been charted once keeps its place
(`Charted.after`), and new metrics are added after it while there is room.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from itertools import islice

from amoc.base.json_plain import JsonObject
from amoc.results import counts
from amoc.results.report import timer_pairs
from amoc.results.report.charts import COLOURS
from amoc.results.report.timer_pairs import Pair
from amoc.results.steps import executed, without
from amoc.results.summary_types import Summary, Timers

SHOWN = 4
"""Charts of one kind that are visible at first."""
MAX_CHARTS = 12
"""Maximum number of charts of one kind."""
MAX_TIMERS = 12
"""Timers of the target with charts."""
MAX_CAUSES = 6


@dataclass(frozen=True)
class Names:
    """Names of one kind.

    Attributes:
        shown: The charted ones.
        others: The others.
    """

    shown: Sequence[str] = ()
    others: frozenset[str] = frozenset()

    @classmethod
    def of(cls, names: Collection[str], most: int) -> Names:
        """Return the first `most` of `names`."""
        return cls((*islice(names, most),), frozenset(islice(names, most, None)))

    def after(self, before: Names, most: int) -> Names:
        """Return the same names, with those shown before in their places."""
        there = {*self.shown, *self.others}
        stayed = [one for one in before.shown if one in there]
        new = [one for one in (*self.shown, *sorted(self.others)) if one not in before.shown]
        return Names.of([*stayed, *new], most)


@dataclass(frozen=True)
class Charted:
    """The metrics that have charts.

    Attributes:
        requests: Steps, in the chart of how many there were.
        failures: Steps, in the chart of how many failed.
        counters: Other counters.
        causes: Causes of crashes.
        gauges: Gauges.
        throttles: Throttles.
        timers: Timers of the target, without their twins.
        built_in: amoc's own timers.
        twins: Those of either that also have a response time.
    """

    requests: Names = Names()
    failures: Names = Names()
    counters: Names = Names()
    causes: Names = Names()
    gauges: Names = Names()
    throttles: Names = Names()
    timers: Names = Names()
    built_in: Names = Names()
    twins: frozenset[str] = frozenset()

    @property
    def shown(self) -> Sequence[object]:
        """All charted names, for comparison with those charted before."""
        return [*(one.shown for one in self._names), self.twins]

    @classmethod
    def of(cls, summary: Summary, timers: Timers) -> Charted:
        """Choose the metrics of a run to chart.

        Args:
            summary: The run's summary.
            timers: The part of it that the timers' figures cover.
        """
        steps = summary.get("steps", {})
        found = executed(steps)
        others = without(summary.get("counters", {}), steps, summary.get("checks", {}))
        used = {name: one.get("requests", 0) for name, one in summary.get("throttles", {}).items()}
        target, built_in = timer_pairs.pairs(timers)
        twins = frozenset(one.name for one in (*target, *built_in) if one.response)
        names = (
            _busiest({name: one["count"] for name, one in found.items()}),
            _busiest({name: one["failures"] for name, one in found.items()}),
            _busiest(others),
            [one["cause"] for one in summary.get("crashes", ())],
            list(summary.get("gauges", {})),
            _busiest(used),
            [one.name for one in target],
            [one.name for one in built_in],
        )
        return cls._made(map(Names.of, names, _MOST), twins)

    def to_json(self) -> JsonObject:
        """Return the names as JSON."""
        names = zip(_KINDS, self._names, strict=True)
        told = {kind: [[*one.shown], sorted(one.others)] for kind, one in names}
        return {**told, "twins": sorted(self.twins)}

    @classmethod
    def from_json(cls, data: JsonObject) -> Charted:
        """Return what `to_json` made `data` of."""
        names = (Names(data[kind][0], frozenset(data[kind][1])) for kind in _KINDS)
        return cls._made(names, frozenset(data["twins"]))

    def after(self, before: Charted) -> Charted:
        """Return the same metrics, with those charted before in their places."""
        names = map(Names.after, self._names, before._names, _MOST)
        return self._made(names, self.twins)

    @classmethod
    def _made(cls, names: Iterable[Names], twins: frozenset[str]) -> Charted:
        return cls(**dict(zip(_KINDS, names, strict=True)), twins=twins)

    @property
    def _names(self) -> Sequence[Names]:
        return [getattr(self, kind) for kind in _KINDS]

    @property
    def pairs(self) -> tuple[list[Pair], list[Pair]]:
        """The timers with their twins: the target's, and amoc's own."""
        target, built_in = (
            [timer_pairs.pair(name, name in self.twins) for name in names.shown]
            for names in (self.timers, self.built_in)
        )
        return target, built_in

    @property
    def lines(self) -> int:
        """The maximum number of lines in its charts and those of the generator's health."""
        return _OTHER_LINES + sum(
            each * len(names.shown) * (2 if kind == "timers" else 1)
            for kind, names, each in zip(_KINDS, self._names, _LINES, strict=True)
        )

    @property
    def durations(self) -> list[str]:
        """All timers whose durations are needed for charts."""
        return [name for pairs in self.pairs for one in pairs for name in one.names]


_KINDS = tuple(name for name in Charted.__dataclass_fields__ if name != "twins")
_MOST = (COLOURS, COLOURS, SHOWN * COLOURS, MAX_CAUSES, MAX_CHARTS, MAX_CHARTS, MAX_TIMERS, 12)
"""The maximum number of charted names of each kind."""
_LINES = (1, 1, 1, 1, 1, 4, 4, 4)
"""The number of lines for each of these, without a timer's twin."""
_OTHER_LINES = 70


def _busiest(counted: Mapping[str, int]) -> list[str]:
    return counts.busiest({name: count for name, count in counted.items() if count})
