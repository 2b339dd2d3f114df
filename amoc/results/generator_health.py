"""Whether the load generator was the bottleneck, in which seconds, and what to do. Pure.

A load test attributes all lateness to its target. So everything that can make the generator late is
checked against a limit in each second (`Limits`). A single second past a limit is noise: machines
are shared, garbage collectors run, users start. A run is generator-limited if one figure of one
place was past its limit *for long enough*:

- for at least 5 s and 5 % of the time checked, which is enough to affect high percentiles; or
- for 10 s in a row, which is enough to affect the charts.

Only seconds in which the run was running count, and only those after the warm-up. Lateness while a
run is paused, starting or ending does no harm.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import NamedTuple, TypeAlias

from amoc.metrics.health_figures import NODE, WORKER, Source, WorkerPoint, share
from amoc.metrics.health_limits import Limits
from amoc.results.series import Point
from amoc.results.summary_types import Finding, HealthPart


class _Figure(NamedTuple):
    """One figure of one place in one second."""

    where: str
    what: str
    value: float
    worker: WorkerPoint | None = None


class _Kind(NamedTuple):
    """The texts about a value past its limit."""

    limit: str
    """A field of `Limits`."""
    unit: str
    finding: str
    """``{worst}`` is replaced by the worst value."""
    advice: str


KINDS = {
    **{
        one.what: _Kind(one.limit, "s" if one.unit == "s" else "share", one.finding, one.advice)
        for one in (*WORKER.values(), *NODE.values())
        if one.limit
    },
    "saturation": _Kind(
        "busy",
        "share",
        "used a CPU or waited for one up to {worst} of the time",
        "there are not enough cores: use another host or fewer users, or move the target to another"
        " host",
    ),
    "missed slots": _Kind(
        "missed",
        "share",
        "up to {worst} of its slots were missed because they were late",
        "leave amoc a core: run fewer workers than cores, use fewer throttles, or move the target"
        " to another host",
    ),
    "restarts": _Kind(
        "restarted",
        "share",
        "up to {worst} of them were started again in a second, because their worker had died",
        "see the logs of the workers that died",
    ),
    "silence": _Kind(
        "silent_s",
        "s",
        "no samples for {worst} or longer, so its users may have been stalled",
        "the host or the node process was stopped or starved of CPU: give it a core",
    ),
    "controller cpu": _Kind(
        "controller_cpu",
        "share",
        "used up to {worst} of a core",
        "use fewer throttles, coordinators and metrics, or leave it a core (fewer --workers)",
    ),
    "controller lag": _Kind(
        "controller_lag_s",
        "s",
        "event loop lag of up to {worst}, so throttle slots may have been late",
        "leave it a core: run fewer workers than cores, or move the target to another host",
    ),
}
SMOOTHED = 3
"""Seconds over which a worker's shares of a core are averaged."""
CONTENDED = 0.1
"""Share of the time a worker waits for a core above which it does not have a core to itself."""
HELD_S = 0.05
"""Loop lag that may have made throttle slots late: half of the lateness that voids a slot."""
WAITING = 0.25
"""Share of the time a worker waits for a core above which that explains its lateness."""
_WHOLE = 0.95
_OF_WORKERS = [
    (name, one.what, one.source is Source.TIME, bool(one.of))
    for name, one in WORKER.items()
    if one.limit
]
_LATE = ("loop lag", "token lateness")


_Life: TypeAlias = tuple[str, int, int]
"""Node, number and incarnation of a worker."""


class _Second(NamedTuple):
    """A second of the run, with the result of `_shares_of`."""

    point: Point
    shares: dict[_Life, tuple[float, float]]


@dataclass
class _Past:
    """How long a figure of a place was past its limit."""

    worst: float = 0.0
    seconds: float = 0.0
    row_s: float = 0.0
    longest_row_s: float = 0.0
    from_s: float = 0.0
    to_s: float = 0.0
    reported: bool = False
    cpu_s: float = 0.0  # of the worker in these seconds, as are the next two
    cpu_wait_s: float = 0.0
    gc_s: float = 0.0
    held_s: float = 0.0  # seconds in which the controller or a worker was late itself
    round_trip_s: float = 0.0

    def note(self, point: Point, value: float, worker: WorkerPoint | None) -> None:
        """Add a second in which the figure was past its limit."""
        if not self.seconds:
            self.from_s = point.begin_s
        self.to_s = point.t_s
        self.worst = max(self.worst, value)
        self.seconds += point.span_s
        self.row_s += point.span_s
        self.longest_row_s = max(self.longest_row_s, self.row_s)
        self.round_trip_s = max(self.round_trip_s, point.round_trip_s)
        if _is_held(point):
            self.held_s += point.span_s
        if worker is not None:
            self.cpu_s += worker.cpu * point.span_s
            self.cpu_wait_s += worker.cpu_wait_s
            self.gc_s += worker.gc_s


@dataclass
class Health:
    """Judges whether the generator kept up.

    Attributes:
        limits: The limits.
        seconds: The time that counted.
        past: Figures that were past their limit at some time, by place and figure.
    """

    limits: Limits = field(default_factory=Limits)
    seconds: float = 0.0
    past: dict[tuple[str, str], _Past] = field(default_factory=dict)
    _latest: deque[_Second] = field(default_factory=lambda: deque(maxlen=SMOOTHED))
    _limits: dict[str, float] = field(init=False)

    def __post_init__(self) -> None:
        self._limits = {what: getattr(self.limits, one.limit) for what, one in KINDS.items()}

    def take(self, point: Point) -> list[str]:
        """Take the next second of the run after its warm-up.

        Returns:
            Warnings for the operator, each only once per run: figures that have been past their
            limit for a while and still are.
        """
        if point.active_s < _WHOLE * point.span_s:  # it was paused or ending during a part of it
            self._latest.clear()
            self._end_rows(self.past)
            return []
        self.seconds += point.span_s
        said = []
        self._latest.append(_Second(point, _shares_of(point)))
        ended = {**self.past}
        for where, what, value, worker in _figures(self._latest, self._limits):
            if value < self._limits[what]:
                continue
            ended.pop((where, what), None)
            past = self.past.setdefault((where, what), _Past())
            past.note(point, value, worker)
            if not past.reported and past.row_s >= self.limits.reported_s:
                past.reported = True
                said.append(f"{self._sentence(where, what, past)}; {self._advice(what, past)}")
        self._end_rows(ended)
        return said

    def _end_rows(self, of: Iterable[tuple[str, str]]) -> None:
        for one in of:
            self.past[one].row_s = 0.0

    def findings(self) -> list[Finding]:
        """Return what was past its limit for long enough, longest first."""
        found = [
            Finding(
                where=where,
                what=what,
                limit=self._limits[what],
                worst=round(past.worst, 6),
                unit=KINDS[what].unit,
                seconds=round(past.seconds, 3),
                from_s=round(past.from_s, 3),
                to_s=round(past.to_s, 3),
                text=self._sentence(where, what, past),
                advice=self._advice(what, past),
            )
            for (where, what), past in self.past.items()
            if self._long_enough(past)
        ]
        return sorted(found, key=lambda one: -one["seconds"])

    @property
    def limited(self) -> bool:
        """Whether the run was limited by its generator."""
        return any(map(self._long_enough, self.past.values()))

    def to_json(self) -> HealthPart:
        """Return the summary's ``health``."""
        findings = self.findings()
        return {"limited": bool(findings), "findings": findings}

    def _long_enough(self, past: _Past) -> bool:
        limits = self.limits
        # To a tenth of a second: samples taken each second come a little early or late.
        often = round(past.seconds, 1) >= max(limits.least_s, limits.least_share * self.seconds)
        return often or past.longest_row_s >= limits.in_a_row_s

    def _sentence(self, where: str, what: str, past: _Past) -> str:
        kind = KINDS[what]
        said = kind.finding.format(worst=_text(past.worst, kind.unit))
        return (
            f"{where}: {said}, above the limit of {_text(self._limits[what], kind.unit)}"
            f" for {past.seconds:.0f} s between {past.from_s:.0f} s and {past.to_s:.0f} s"
        )

    def _advice(self, what: str, past: _Past) -> str:
        """Return what to do. For lateness, that depends on what else was high in these seconds."""
        if what == "missed slots" and past.round_trip_s and past.held_s < past.seconds / 2:
            return (
                "the controller and all workers were in time in most of these seconds, so slots"
                " were late on their way: a connection to a node loses or delays packets (ss -ti"
                " shows retransmissions; the shortest round trip to the farthest node took"
                f" {past.round_trip_s * 1e3:.3g} ms)"
            )
        if what not in _LATE:
            return KINDS[what].advice
        cpu, waits, gc = (one / past.seconds for one in (past.cpu_s, past.cpu_wait_s, past.gc_s))
        if gc >= self.limits.gc:
            return f"caused by garbage collection: {KINDS['garbage collection'].advice}"
        if waits >= WAITING and waits > cpu:
            return f"caused by CPU wait: {KINDS['cpu wait'].advice}"
        if cpu + waits >= 0.8:
            return f"caused by its own CPU use: {KINDS['cpu'].advice}"
        return "a user blocked its event loop: see the lines that are reported as blocking"


def _figures(seconds: Sequence[_Second], limits: Mapping[str, float]) -> Iterator[_Figure]:
    """Yield the figures of the last of some seconds.

    There may be thousands of workers, so of their figures only those past the limit are included.
    """
    point = seconds[-1].point
    for worker in point.workers:
        life = _life(worker)
        # With many workers, a point lists only those past a limit; the others were within theirs.
        looked = seconds if point.together else [one for one in seconds if life in one.shares]
        shares = [one.shares.get(life, (0.0, 0.0)) for one in looked]
        where = f"worker {worker.worker} of {worker.node}"
        for what, value in _of_worker(worker, max(point.span_s, 1e-3), shares):
            if value >= limits[what]:
                yield _Figure(where, what, value, worker)
    for node in point.nodes:
        for name, one in NODE.items():
            if one.limit:
                yield _Figure(node.name, one.what, share(node, name))
    for name in point.late:
        yield _Figure(name, "silence", point.span_s)
    for name, throttle in point.throttles.items():
        if throttle.missed:
            due = throttle.executions + throttle.missed
            yield _Figure(f"throttle {name}", "missed slots", throttle.missed / due)
    if len(seconds) > 1:
        before = seconds[-2].point.users
        again = point.users.get("restarted", 0) - before.get("restarted", 0)
        yield _Figure("users", "restarts", again / max(1, again, point.users.get("running", 0)))
    yield _Figure("controller", "controller cpu", point.controller_cpu)
    yield _Figure("controller", "controller lag", point.controller_lag_s)


def _is_held(point: Point) -> bool:
    """Return whether the controller or a worker was late enough in a second to make slots late."""
    loops_s = (point.controller_lag_s, *(one.lag_p99_s for one in point.workers))
    waits = (one.cpu_wait_s / max(point.span_s, 1e-3) for one in point.workers)
    return max(loops_s) >= HELD_S or max(waits, default=0.0) >= WAITING


def _life(worker: WorkerPoint) -> _Life:
    return worker.node, worker.worker, worker.incarnation


def _shares_of(point: Point) -> dict[_Life, tuple[float, float]]:
    """Return the shares of a second that each worker used a core, and waited for one."""
    span_s = max(point.span_s, 1e-3)
    return {_life(one): (one.cpu, one.cpu_wait_s / span_s) for one in point.workers}


def _of_worker(
    worker: WorkerPoint, span_s: float, shares: Sequence[tuple[float, float]]
) -> Iterator[tuple[str, float]]:
    # A late worker also updates its totals late: one second shows too little, the next too much.
    cpu, waits = (sum(column) / len(shares) for column in zip(*shares, strict=True))
    smoothed, figures = {"cpu": cpu, "cpu_wait_s": waits}, vars(worker)
    for name, what, is_time, is_share in _OF_WORKERS:
        if name in smoothed:
            yield what, smoothed[name]
        else:
            value = share(worker, name) if is_share else figures[name]
            yield what, value / span_s if is_time else value
    yield "saturation", cpu + waits if waits >= CONTENDED else 0.0


def _text(value: float, unit: str) -> str:
    """Format a figure for people: ``0.25 s``, ``97 %``."""
    return f"{value:.2g} s" if unit == "s" else f"{value * 100:.0f} %"
