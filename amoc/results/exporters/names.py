"""Names of a point's values where names are paths: Graphite and statsd. Pure.

A path consists of elements separated by dots: ``timers.message_ttd.p99_ms``. The name of a metric,
throttle, node or cause is always a single element, so that ``timers.*.p99_ms`` finds all timers.
Characters not allowed in an element become ``_``, so two names may want the same element. The first
one gets it; if two come together, the one that needs no change does. The other element ends in a
hash of its name. A name keeps its element for the whole run.

An entry is a gauge, or an increment with the resulting total. Backends use what they support:
Graphite a rate and a total, statsd a counter.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping
from itertools import count
from math import isfinite
from typing import NamedTuple

from amoc.metrics.health_figures import NODE, WORKER, NodePoint, WorkerPoint
from amoc.metrics.throttle_counts import COUNTS
from amoc.metrics.timer_statistics import FRACTIONS, MAIN
from amoc.metrics.workers_together import labelled
from amoc.results.series import GONE, Point

MAX_ELEMENT = 100
"""Maximum length of an element. Graphite uses it as the name of a file or directory."""
MAX_CAUSES = 50
"""Causes of crashes that have their own entry."""
OTHER_CAUSES = "other causes"
"""Stands for all further causes."""

STATES = ("running", "resting", "waiting", *GONE)
"""States in which the current number of users is counted, which may go down."""
CHANGES = ("started", "restarted")
"""Events that are counted."""

_UNSAFE = re.compile(r"[^A-Za-z0-9_-]+")


def element(name: str) -> str:
    """Return `name` as an element of a path; two names may give the same one."""
    clean = _UNSAFE.sub("_", name)
    if clean != name:
        clean = clean.strip("_")
    return clean[:MAX_ELEMENT] or "_"


def candidates(name: str, clean: str) -> Iterator[str]:
    """Yield possible elements for `name`: `clean`, then `clean` with hashes of `name`."""
    yield clean
    for attempt in count():
        digest = hashlib.sha256(f"{name}\0{attempt}".encode(errors="surrogatepass")).hexdigest()
        yield f"{clean[: MAX_ELEMENT - 7]}_{digest[:6]}"


class Elements(dict[str, str]):
    """Gives each name a unique element, and always the same one.

    Args:
        clean: Replaces disallowed characters; two names may give the same result.
    """

    def __init__(self, clean: Callable[[str], str] = element) -> None:
        super().__init__()
        self._clean = clean
        self._taken: set[str] = set()

    def learn(self, names: Iterable[str]) -> None:
        """Add `names`; those that need no change come first."""
        new = set(names).difference(self)
        for name in sorted(new, key=lambda one: (self._clean(one) != one, one)):
            self[name]

    def __missing__(self, name: str) -> str:
        free = (one for one in candidates(name, self._clean(name)) if one not in self._taken)
        self[name] = found = next(free)
        self._taken.add(found)
        return found


class Causes:
    """Limits the number of causes of crashes: the first ones, and one entry for all others."""

    def __init__(self, most: int = MAX_CAUSES) -> None:
        self._most = most
        self._known: set[str] = set()

    def grouped(self, crashes: Mapping[str, int]) -> dict[str, int]:
        """Return `crashes` by cause, with all those without their own entry as one."""
        grouped: dict[str, int] = {}
        for cause, number in sorted(crashes.items(), key=lambda item: -item[1]):
            if cause not in self._known and len(self._known) < self._most:
                self._known.add(cause)
            name = cause if cause in self._known else OTHER_CAUSES
            grouped[name] = grouped.get(name, 0) + number
        return grouped


class Entry(NamedTuple):
    """A value and its path."""

    path: str
    value: float
    """The value of a gauge, or the growth of a counter in the point."""
    total: int | None = None
    """The total of a counter; None for a gauge."""


class Naming:
    """Makes entries from the points of a run, one after the other.

    Whatever was counted once has an entry for every later point, so that a second in which nothing
    happened shows as 0. Percentiles have no entry if there were no samples.
    """

    def __init__(self) -> None:
        self._elements: dict[str, Elements] = {}
        self._totals: dict[str, int] = {}
        self._seen: dict[str, set[str]] = {"counters": set(), "timers": set(), "causes": set()}
        self._causes = Causes()
        self._users: dict[str, int] = {}

    def entries(self, point: Point) -> Iterator[Entry]:
        """Yield the entries of the next point."""
        makers: tuple[Callable[[Point], Iterator[Entry]], ...] = (
            self._of_users,
            self._of_counters,
            self._of_gauges,
            self._of_timers,
            self._of_crashes,
            self._of_throttles,
            self._of_processes,
        )
        for make in makers:
            yield from make(point)

    def _named(self, group: str, names: Collection[str]) -> list[tuple[str, str]]:
        """Return each of `names` with its path."""
        elements = self._elements.setdefault(group, Elements())
        elements.learn(names)
        return [(name, f"{group}.{elements[name]}") for name in names]

    def _grown(self, path: str, by: int) -> Entry:
        self._totals[path] = total = self._totals.get(path, 0) + by
        return Entry(path, by, total)

    def _of_users(self, point: Point) -> Iterator[Entry]:
        for state in (*STATES, "peak"):
            yield Entry(f"users.{state}", point.users.get(state, 0))
        for change in CHANGES:
            now = point.users.get(change, 0)
            # A user that is removed and added again is missing for a moment.
            before = self._users.get(change, 0)
            self._users[change] = max(before, now)
            yield self._grown(f"users.{change}", max(0, now - before))

    def _of_counters(self, point: Point) -> Iterator[Entry]:
        seen = self._seen["counters"]
        seen.update(point.counters)
        for name, path in self._named("counters", seen):
            yield self._grown(path, point.counters.get(name, 0))

    def _of_gauges(self, point: Point) -> Iterator[Entry]:
        for name, path in self._named("gauges", point.gauges):
            if isfinite(point.gauges[name]):
                yield Entry(path, point.gauges[name])

    def _of_timers(self, point: Point) -> Iterator[Entry]:
        seen = self._seen["timers"]
        seen.update(point.timers)
        for name, path in self._named("timers", seen):
            timer = point.timers.get(name)
            number = timer.count if timer else 0
            yield self._grown(path, number)
            if timer and number:
                for one, value_s in zip(MAIN, timer.quantiles_s(*FRACTIONS), strict=True):
                    yield Entry(f"{path}.{one.field.removesuffix('_s')}_ms", value_s * 1e3)
                yield Entry(f"{path}.mean_ms", timer.mean_s * 1e3)
                yield Entry(f"{path}.max_ms", timer.max_ns / 1e6)

    def _of_crashes(self, point: Point) -> Iterator[Entry]:
        yield self._grown("crashes", sum(point.crashes.values()))
        grouped = self._causes.grouped(point.crashes)
        self._seen["causes"].update(grouped)
        for cause, path in self._named("crashes.causes", self._seen["causes"]):
            yield self._grown(path, grouped.get(cause, 0))

    def _of_throttles(self, point: Point) -> Iterator[Entry]:
        for name, path in self._named("throttles", point.throttles):
            throttle = point.throttles[name]
            wanted = throttle.wanted_per_s
            if wanted is not None and isfinite(wanted):
                yield Entry(f"{path}.wanted_rate", wanted)
            for kind in COUNTS:
                yield self._grown(f"{path}.{kind}", getattr(throttle, kind))
            yield Entry(f"{path}.waiting", throttle.waiting)

    def _of_processes(self, point: Point) -> Iterator[Entry]:
        yield Entry("controller.cpu", point.controller_cpu)
        yield Entry("controller.lag_ms", point.controller_lag_s * 1e3)
        yield Entry("controller.late_nodes", len(point.late))
        nodes = {one.node for one in point.workers} | {one.name for one in point.nodes}
        of_workers = dict(self._named("workers", nodes))
        of_nodes = dict(self._named("nodes", nodes))
        for (of_node, number), worker in labelled(point.workers, point.together).items():
            path = f"{of_workers[of_node]}.{number}"
            yield from _of_fields(path, worker, WORKER)
            yield Entry(f"{path}.restarts", max(0, worker.incarnation - 1))
        for node in point.nodes:
            yield from _of_fields(of_nodes[node.name], node, NODE)


def _of_fields(
    path: str, record: WorkerPoint | NodePoint, fields: Iterable[str]
) -> Iterator[Entry]:
    """Yield fields of a record as gauges; seconds become milliseconds."""
    for name in fields:
        value = getattr(record, name)
        if name.endswith("_s"):
            yield Entry(f"{path}.{name.removesuffix('_s')}_ms", value * 1e3)
        else:
            yield Entry(f"{path}.{name}", value)


def number(value: float) -> str:
    """Format `value` without meaningless digits."""
    return str(value) if isinstance(value, int) else f"{value:.10g}"
