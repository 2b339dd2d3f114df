"""Measures of thresholds: ``message_ttd.p99``, ``crashes``, ``users.peak``. Pure.

A measure is a name and a statistic. `parse` decides from the text alone what its value will be: a
count, a duration, a rate or a plain figure. The exceptions are ``min`` and ``max``: the unit of the
limit shows whether they belong to a gauge or a timer. The value is taken from the run's window, the
sum of its points after the warm-up, so a percentile is computed from the merged durations of all
workers. Totals and durations cover the whole window; rates, and values that rise and fall, only
those of its seconds in which the run was running.

A measure without a sample has no value, and `NoValue` says why. It is never treated as 0, or a run
that measured nothing would pass every upper limit.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Mapping
from enum import Enum
from math import isfinite
from typing import NamedTuple

from amoc.base.text import nearest
from amoc.metrics import reserved
from amoc.metrics.area import Kind
from amoc.metrics.coordinated_omission import RESPONSE
from amoc.metrics.coordinator_counts import Counted
from amoc.metrics.histogram import Histogram
from amoc.metrics.step_names import AGGREGATED, COUNT, FAILED, FAILURES, PASSED
from amoc.metrics.throttle_counts import COUNTS, WAITING
from amoc.results import counts
from amoc.results.series import USERS, Tally

Known = Mapping[str, Kind]
"""The declared metrics and their kinds, including those that have counted nothing."""


class Unit(Enum):
    """The kind of a value, and the form of the values it can be compared with."""

    COUNT = "a count and must be compared with a number without a unit"
    FIGURE = "a plain number and must be compared with a number without a unit"
    TIME = "a duration and must be compared with one such as 200ms"
    RATE = "a rate and must be compared with one such as 900/s"
    SHARE = "a ratio and must be compared with a share such as 1% or 0.01"


class Trend(Enum):
    """How a value can change while the run goes on."""

    GROWS = 1
    FALLS = 2
    FREE = 3


class NoValue(Exception):
    """A measure has no value; the text is a clause that says why."""


_STATISTICS: dict[str, dict[Kind | None, Unit]] = {
    "": {Kind.COUNTER: Unit.COUNT, Kind.GAUGE: Unit.FIGURE},
    "total": {Kind.COUNTER: Unit.COUNT},
    "count": {Kind.TIMER: Unit.COUNT},
    "rate": {Kind.COUNTER: Unit.RATE, Kind.TIMER: Unit.RATE},
    "mean": {Kind.TIMER: Unit.TIME},
    "min": {Kind.TIMER: Unit.TIME, Kind.GAUGE: Unit.FIGURE},
    "max": {Kind.TIMER: Unit.TIME, Kind.GAUGE: Unit.FIGURE},
    "last": {Kind.GAUGE: Unit.FIGURE},
}
"""Which kinds of metric have a statistic, and its unit for each; "" if no statistic is named."""
_PERCENTILE: dict[Kind | None, Unit] = {Kind.TIMER: Unit.TIME}
_USUAL = {Kind.COUNTER: "total", Kind.GAUGE: "last", Kind.TIMER: "p99"}
_HAS = {
    Kind.COUNTER: "total and rate",
    Kind.GAUGE: "last, min and max",
    Kind.TIMER: "percentiles such as p99, mean, min, max, count and rate",
}
_BUILT_IN = {
    "crashes": Unit.COUNT,
    "crashes.total": Unit.COUNT,
    "crashes.rate": Unit.RATE,
    "starts.rate": Unit.RATE,
    **{f"users.{name}": Unit.COUNT for name in USERS},
}
_FAILURES = FAILURES.removeprefix(".")
"""As a measure without a step's name: the failures of all requests."""
_SHARES: dict[str, tuple[str, ...]] = {
    FAILURES: (COUNT,),
    FAILED: (PASSED, FAILED),
    reserved.DROPPED: (reserved.ARRIVALS, reserved.DROPPED),
}
"""Counters that can be compared as a share, by suffix: suffixes of the counters of the whole."""
_UP_AND_DOWN = frozenset({"running", "resting", "waiting"})

_STATISTIC = re.compile(r"(.+)\.(p\d+(?:\.\d+)?|total|count|rate|mean|min|max|last)")
_ELSEWHERE = re.compile(r"(.+?)(?:\.|: *)(?:p\((\d+(?:\.\d+)?)\)|(avg|average|med|median))")
"""Matches a statistic as other load generators write it: ``.p(95)``, ``.avg``, ``.med``."""
_HERE = {"avg": "mean", "average": "mean", "med": "p50", "median": "p50"}
_RATIO = re.compile(rf"\.(?:{'|'.join((*COUNTS, *Counted))})\s*/")
"""Matches what looks like the name of a throttle or coordinator but is two measures."""
_THROTTLE = re.compile(rf"throttle\.(.+?)\.(?:({'|'.join(COUNTS)})(\.rate)?|{WAITING})")
_COORDINATOR = re.compile(
    rf"coordinator\.(.+?)\.(?:{'|'.join(Counted)})(?:\.(?:total|count|rate))?"
)


class Measure(NamedTuple):
    """A statistic of a metric or of one of amoc's built-in counts.

    Attributes:
        text: As it was written.
        name: The name of a metric, a throttle or a built-in count.
        statistic: A key of `_STATISTICS`, or ``p`` and a percentile.
        units: The possible units by kind of metric; under None if it is not a metric.
        throttle: Whether it is a measure of a throttle.
        share: Whether it is compared as a share: failures as a share of executions.
    """

    text: str
    name: str
    statistic: str
    units: Mapping[Kind | None, Unit]
    throttle: bool = False
    share: bool = False

    def compared_with(self, *units: Unit) -> Measure:
        """Return the measure, limited to the kinds whose unit is one of `units`.

        Raises:
            ValueError: None is; the message is a clause that follows the threshold.
        """
        fit = {kind: unit for kind, unit in self.units.items() if unit in units}
        if not fit:
            if not self.statistic and Unit.TIME in units and None not in self.units:
                if found := _ELSEWHERE.fullmatch(self.text):
                    raise ValueError(f"{self.text} names no statistic; use {_here(found)}")
                raise ValueError(
                    f"{self.text} names no statistic; only a timer's statistic, such as"
                    f" {self.text}.p99, is a duration"
                )
            raise ValueError(f"{self.text} is {next(iter(self.units.values())).value}")
        return self._replace(units=fit)

    def share_or_count(self, *units: Unit) -> Measure:
        """As `compared_with`, but failures compared with a share become a share of executions."""
        if units == (Unit.SHARE,) and _shared(self.name) and not self.statistic:
            return self._replace(units={Kind.COUNTER: Unit.SHARE}, share=True)
        return self.compared_with(*units)

    def trend(self, known: Known) -> Trend:
        """Return whether the value can only grow or only fall as points are added."""
        if self.statistic == "min":
            return Trend.FALLS
        if self.statistic == "max":
            return Trend.GROWS
        if self.statistic in _UP_AND_DOWN:
            return Trend.FREE
        kind = known.get(self.name)
        units = {self.units[kind]} if kind in self.units else set(self.units.values())
        return Trend.GROWS if units == {Unit.COUNT} else Trend.FREE

    def misfit(self, known: Known) -> str:
        """Return why a metric of this kind lacks the statistic; empty if it does not."""
        if None in self.units:
            return ""
        name = self.name if self.name in known else self.name.removesuffix(RESPONSE)
        kind = known.get(name)
        if kind in self.units:
            return ""
        if kind is None:
            whole = known.get(self.text) if self.statistic else None
            if whole not in _HAS:
                return ""
            return f"{self.text} is itself a {_word(whole)}; use {self.text}.{_USUAL[whole]}"
        unit = _STATISTICS.get(self.statistic, _PERCENTILE).get(kind)
        if unit is not None:
            return f"{name} is a {_word(kind)}, so {self.text} is {unit.value}"
        return f"{name} is a {_word(kind)}, which has {_HAS[kind]}"

    def resembles(self, known: Known) -> str:
        """Return a known name that may have been meant; empty if this name is known itself."""
        if None in self.units or self.name in known or self.name.removesuffix(RESPONSE) in known:
            return ""
        names = [name for name, kind in known.items() if kind in _HAS]
        return nearest(self.name, [*names, *_BUILT_IN])

    def value(self, window: Tally, known: Known) -> float:
        """Return the value, in seconds, per second, or as counted.

        Args:
            window: The sum of the points that count.
            known: The declared metrics.

        Raises:
            NoValue: There is no sample.
        """
        if self.throttle:
            return self._of_throttle(window)
        if None in self.units:
            return self._built_in(window)
        if self.name == _FAILURES and (self.share or self.name not in known):
            return self._replace(name=AGGREGATED + FAILURES).value(window, known)
        kind = known.get(self.name) or _kind_in(self.name, window)
        if kind is None:
            close = self.resembles(known)
            hint = f"; did you mean {close}?" if close else ""
            raise NoValue(f"there was no metric {self.name}{hint}")
        if kind not in self.units:
            raise NoValue(self.misfit({**known, self.name: kind}))
        if kind is Kind.TIMER:
            return self._of_timer(window, known)
        if kind is Kind.GAUGE:
            return self._of_gauge(window)
        if self.share:
            return self._of_share(window)
        parts = self._parts()
        if parts and known.keys() >= parts and not self._executions(window):
            raise NoValue("there is no sample")  # not a single execution, successful or failed
        return self._counted(window, counts.counter(self.name))

    def _counted(self, window: Tally, count: Callable[[Tally], float]) -> float:
        """Return a count, or its rate per second if that is the statistic."""
        is_rate = self.statistic.endswith("rate")
        value = window.per_second(count) if is_rate else count(window)
        if not window.points or value is None:
            raise NoValue("there is no sample")
        return value

    def _of_share(self, window: Tally) -> float:
        whole = self._executions(window)
        if not whole:
            raise NoValue("there is no sample")
        return window.counters.get(self.name, 0) / whole

    def _parts(self) -> set[str]:
        """Return the counters of all executions, if this may be a counter of failed ones."""
        end = _shared(self.name)
        return {self.name.removesuffix(end) + one for one in _SHARES[end]} if end else set()

    def _executions(self, window: Tally) -> int:
        """Return the number of executions of the step or check."""
        return sum(window.counters.get(one, 0) for one in self._parts())

    def _of_timer(self, window: Tally, known: Known) -> float:
        timer = window.timers.get(self.name, Histogram())
        if self.statistic in ("count", "rate") and window.points:
            if self.name + COUNT in known:  # a step: its timer holds only successful executions
                return self._counted(window, counts.counter(self.name + COUNT))
            return self._counted(window, counts.recorded(self.name))
        if not timer.count:
            raise NoValue("there is no sample")
        match self.statistic:
            case "mean":
                return timer.mean_s
            case "max":
                return timer.max_ns / 1e9
            case "min":
                return timer.quantiles_s(0.0)[0]
        return timer.quantiles_s(float(self.statistic[1:]) / 100)[0]

    def _of_gauge(self, window: Tally) -> float:
        found = {"min": window.lowest, "max": window.highest}.get(self.statistic)
        if found is None:
            found = dict(window.last_active.gauges) if window.last_active is not None else {}
        value = found.get(self.name)
        if value is None or not isfinite(value):
            raise NoValue("there is no sample")
        return value

    def _of_throttle(self, window: Tally) -> float:
        if self.name not in window.throttles:
            raise NoValue(f"there was no throttle {self.name}")
        what = self.statistic.removesuffix(".rate")
        if what == WAITING:
            last = window.last_active
            found = last.throttles.get(self.name) if last is not None else None
            return found.waiting if found is not None else 0
        return self._counted(window, counts.throttle(self.name, what))

    def _built_in(self, window: Tally) -> float:
        if self.name == "crashes":
            return self._counted(window, counts.all_crashes)
        if self.name == "starts":
            return self._counted(window, lambda tally: tally.starts)
        last = window.last_active if self.statistic in _UP_AND_DOWN else window.last
        if last is None:
            raise NoValue("there is no sample")
        return last.users.get(self.statistic, 0)


def parse(text: str) -> Measure:
    """Parse a measure.

    Raises:
        ValueError: It is not one; the message is a clause that follows the threshold.
    """
    if text.startswith(reserved.THROTTLE):
        return _parse_throttle(text)
    if text in _BUILT_IN:
        name, _, statistic = text.partition(".")
        return Measure(text, name, statistic, {None: _BUILT_IN[text]})
    found = _STATISTIC.fullmatch(text)
    name, statistic = (found[1], found[2]) if found else (text, "")
    if (other := _ELSEWHERE.fullmatch(text)) and other[2]:  # a counter may be called x.avg
        raise ValueError(f"{text} names no statistic; use {_here(other)}")
    if name in reserved.COUNTED:
        there = ", ".join(one for one in _BUILT_IN if one.partition(".")[0] == name)
        raise ValueError(f"there is no {text}; use one of {there}")
    if statistic.startswith("p"):
        percent = float(statistic[1:])
        if not 0 < percent < 100:
            raise ValueError(
                f"a percentile must lie between 0 and 100, got {statistic}; the extremes are"
                " min and max"
            )
        return Measure(text, name, statistic, _PERCENTILE)
    return Measure(text, name, statistic, _STATISTICS[statistic])


def _here(found: re.Match[str]) -> str:
    """Return what `_ELSEWHERE` has matched as amoc writes it."""
    name, percent, word = found.groups()
    return f"{name}.{f'p{percent}' if percent else _HERE[word]}"


def _shared(name: str) -> str:
    """Return the suffix of a counter that can be compared as a share, or empty."""
    if name == _FAILURES:
        return FAILURES
    whole = name == reserved.DROPPED
    return next((end for end in _SHARES if name.endswith(end) and (whole or end[0] == ".")), "")


def has_any_name(text: str) -> bool:
    """Return whether `text` is a single measure of a throttle or coordinator (of any name)."""
    found = _THROTTLE.fullmatch(text) or _COORDINATOR.fullmatch(text)
    return found is not None and not _RATIO.search(found[1])


def _parse_throttle(text: str) -> Measure:
    found = _THROTTLE.fullmatch(text)
    if found is None:
        raise ValueError(
            f"there is no {text}; a throttle has throttle.NAME.executions, .requests, .missed and"
            " .waiting, and .rate of the first three"
        )
    name, what, rate = found.groups()
    statistic = f"{what}{rate or ''}" if what else WAITING
    return Measure(text, name, statistic, {None: Unit.RATE if rate else Unit.COUNT}, throttle=True)


def _kind_in(name: str, window: Tally) -> Kind | None:
    places: tuple[tuple[Kind, Iterable[str]], ...] = (
        (Kind.COUNTER, window.counters),
        (Kind.TIMER, window.timers),
        (Kind.GAUGE, window.highest),
    )
    return next((kind for kind, names in places if name in names), None)


def _word(kind: Kind) -> str:
    return kind.name.lower()
