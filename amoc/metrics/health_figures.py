"""Health metrics of workers and hosts: the one table that declares them. Pure.

A metric is a field of `WorkerPoint` or `NodePoint` with its `Figure`: where it comes from, its
unit, what it means and how it is shown. The board, the sampler, the series, the report, the
exporters, the CSV and JSON export and the terminal view read this table; none of them lists metrics
of its own.

A metric with a limit is judged by `amoc.results.generator_health`, which finds here what to say.

To add a worker's metric, declare a field of `WorkerPoint` here and measure it: either the worker
writes it to its row of the board (`cell`, for example in `amoc.runtime.worker.heartbeat`), or the
node measures it from outside (`amoc.runtime.node.sampler`). A host's metric is a field of
`NodePoint` and is measured in `amoc.runtime.node.host_stats`. A test names the pages of `docs/`
that must list it.

Over several seconds, as in a row of a chart, a worker's metric is the highest; each worker has its
own line in a chart and its own labels in an exporter, so workers are not merged.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, fields
from enum import Enum, auto
from typing import Any, NamedTuple

from amoc.base.clock import S_NS
from amoc.metrics.board import Cell


class Source(Enum):
    """Where a metric comes from, and what it says of a second."""

    LEVEL = auto()
    """The worker notes a level; it is as it was at the second's end."""
    TIME = auto()
    """The worker notes a total of nanoseconds; seconds that were added in the second."""
    SHARE = auto()
    """The same, as a share of the second."""
    RATE = auto()
    """The worker notes a total count; how many were added per second."""
    TIMER = auto()
    """A timer of the worker; the 99th percentile of what it recorded in the second, or 0."""
    OUTSIDE = auto()
    """The node finds it out; it is as it was at the second's end."""


_NOTED = (Source.LEVEL, Source.TIME, Source.SHARE, Source.RATE)


class Figure(NamedTuple):
    """What a metric is.

    Attributes:
        source: Where it comes from.
        help: What it means, for exporters; without a full stop.
        unit: In which people see it, as in `amoc.results.report.charts.Chart`; a `Source.TIME` is
            shown as the share of the second that it is.
        timer: The timer of a `Source.TIMER`.
        title: What its chart in the report is called.
        note: A sentence below that chart; a metric without one has no chart.
        always: Whether it is charted even if it was 0 all the time.
        zero_is_none: Whether 0 means that nothing was recorded, so the chart has a gap there.
        least_top: The chart's range goes up to this at least.
        column: Heads its column in the terminal's view; a metric without one has no column. A
            host's metric stands in the workers' column of that name.
        limit: What is too much of it: a field of `amoc.metrics.health_limits.Limits`.
        what: What a finding of too much of it is about.
        finding: What it says; ``{worst}`` stands for the worst value.
        advice: What to do about it.
        of: The metric that the limit is a share of; nothing if the limit is of the metric itself.
        is_left: Whether the metric is what is left of `of`, not what is used.
        controller: The controller's metric of the same kind, a field of
            `amoc.results.series.Point`; its limit has the same name.
    """

    source: Source
    help: str
    unit: str = ""
    timer: str = ""
    title: str = ""
    note: str = ""
    always: bool = True
    zero_is_none: bool = False
    least_top: float = 0.0
    column: str = ""
    limit: str = ""
    what: str = ""
    finding: str = ""
    advice: str = ""
    of: str = ""
    is_left: bool = False
    controller: str = ""


def _figure(source: Source, meaning: str, unit: str = "", **how: Any) -> Any:
    default = 0.0 if unit in ("%", "s", "/s") else 0
    return field(default=default, metadata={"figure": Figure(source, meaning, unit, **how)})


_MORE = "use more workers (--workers) or hosts, or fewer users"


@dataclass  # not frozen: to make one would take three times as long, several for each node
class WorkerPoint:
    """How one worker did in a second.

    Attributes:
        node: Its node's name.
        worker: Its index there, from 0.
        incarnation: Which life of it, from 1: one more each time it is replaced.
        users_peak: The most users that it had at once, since the run began.
        cpu_s: CPU time that it has used since then; all incarnations together, as in what follows.
        max_rss_bytes: The most memory that it had resident.
        loop_lag_p99_s: 99th percentile of how late its loop turned.
    """

    node: str
    worker: int
    incarnation: int = 1
    users: int = _figure(Source.LEVEL, "Users running in the worker", column="users")
    waiting: int = _figure(Source.LEVEL, "Users assigned to the worker that have not started")
    cpu: float = _figure(
        Source.SHARE,
        "CPU time used by the worker, as a share of one core",
        unit="%",
        title="CPU",
        note="100 % is one core; close to that a worker falls behind.",
        least_top=1.0,
        column="CPU",
        limit="cpu",
        what="cpu",
        finding="used up to {worst} of a core",
        advice=_MORE,
        controller="controller_cpu",
    )
    lag_p99_s: float = _figure(
        Source.TIMER,
        "Event loop lag of the worker, 99th percentile",
        unit="s",
        timer="loop_lag",
        title="Loop lag",
        note="Timers of the worker may be off by this much.",
        zero_is_none=True,
        column="lag",
        limit="lag_s",
        what="loop lag",
        finding="event loop lag of up to {worst}",
        advice=_MORE,
        controller="controller_lag_s",
    )
    late_p99_s: float = _figure(
        Source.TIMER,
        "How late users of the worker passed throttles, 99th percentile",
        unit="s",
        timer="token_lateness",
        title="Throttle lateness",
        note="How late users passed throttles.",
        always=False,
        zero_is_none=True,
        column="late",
        limit="late_s",
        what="token lateness",
        finding="users passed throttles up to {worst} late (99th percentile)",
        advice=_MORE,
    )
    gc_s: float = _figure(
        Source.TIME,
        "Time in garbage collection pauses, in the last second",
        unit="%",
        title="Garbage collection",
        note="Time in garbage collection pauses.",
        always=False,
        least_top=0.1,
        limit="gc",
        what="garbage collection",
        finding="garbage collection took up to {worst} of the time",
        advice="create fewer objects with reference cycles, or run fewer users per worker",
    )
    cpu_wait_s: float = _figure(
        Source.TIME,
        "CPU wait: time for which the worker was ready to run but had no CPU, in the last second",
        unit="%",
        title="CPU wait",
        note="Time ready to run but without a CPU, because other processes used the cores.",
        always=False,
        least_top=0.1,
        column="CPU wait",
        limit="cpu_wait",
        what="cpu wait",
        finding="waited for a CPU up to {worst} of the time",
        advice="other processes use the cores: run fewer workers than cores, or move the target to"
        " another host",
    )
    preemption_rate: float = _figure(
        Source.RATE,
        "Involuntary context switches of the worker per second",
        unit="/s",
        title="Preemptions",
        note="How often per second the kernel preempted the worker.",
        always=False,
        column="preempted",
    )
    rss_bytes: int = _figure(
        Source.LEVEL,
        "Resident memory of the worker",
        unit="B",
        title="Memory",
        note="Resident memory; pages shared with other processes count for each.",
        column="memory",
    )
    fds: int = _figure(
        Source.OUTSIDE,
        "Open file descriptors of the worker",
        column="fds",
        limit="fds",
        what="file descriptors",
        finding="up to {worst} of its file descriptors were open",
        advice="raise the limit (ulimit -n), or use more workers (--workers)",
        of="fd_limit",
    )
    fd_limit: int = _figure(Source.OUTSIDE, "File descriptor limit of the worker")
    users_peak: int = 0
    cpu_s: float = 0.0
    max_rss_bytes: int = 0
    loop_lag_p99_s: float = 0.0


@dataclass(frozen=True)
class NodePoint:
    """How a node's host did in a second.

    Attributes:
        name: The node's.
    """

    name: str
    cpu: float = _figure(
        Source.OUTSIDE,
        "Share of the host's cores that was busy, with any process",
        unit="%",
        title="Host CPU",
        note="Share of all cores, used by any process.",
        least_top=1.0,
        column="CPU",
    )
    memory_bytes: int = _figure(Source.OUTSIDE, "Memory that the host may use", unit="B")
    memory_free_bytes: int = _figure(
        Source.OUTSIDE,
        "Memory of the host that is left",
        unit="B",
        column="memory",
        limit="memory",
        what="memory",
        finding="up to {worst} of the memory was in use",
        advice="use a host or container with more memory, or fewer users",
        of="memory_bytes",
        is_left=True,
    )
    ports: int = _figure(Source.OUTSIDE, "Ephemeral ports of the host")
    ports_used: int = _figure(
        Source.OUTSIDE,
        "Ephemeral ports in use; 0 while far too few for it to matter",
        limit="ports",
        what="ephemeral ports",
        finding="up to {worst} of the ephemeral ports were in use from one address to one"
        " destination",
        advice="use more source or target addresses, or widen net.ipv4.ip_local_port_range",
        of="ports",
    )


def _declared(record: type) -> dict[str, Figure]:
    return {one.name: one.metadata["figure"] for one in fields(record) if one.metadata}


WORKER: Mapping[str, Figure] = _declared(WorkerPoint)
"""The metrics of each worker, in their order."""
NODE: Mapping[str, Figure] = _declared(NodePoint)
"""The metrics of each node's host, in their order."""

_CELLS = {
    name: at
    for at, name in enumerate(
        (name for name, one in WORKER.items() if one.source in _NOTED), len(Cell)
    )
}
_READ = [(name, _CELLS.get(name, 0), one.timer) for name, one in WORKER.items()]
"""The name of each metric, its cell, and its timer, where it has one."""
_AT = {name: at for at, name in enumerate(WORKER)}
_DIGITS = {Source.SHARE: 4, Source.TIME: 6, Source.RATE: 1}
_GROWING = [
    (_AT[name], S_NS if one.source is Source.RATE else 1, _DIGITS[one.source])
    for name, one in WORKER.items()
    if one.source in _DIGITS
]
"""Where each total is, how often its growth per ns counts, and to how many digits."""
_UNIT = re.compile(r"(_p99)?_(s|bytes)$")


def cell(name: str) -> int:
    """The cell of a worker's row for what it notes of metric `name`; times are in nanoseconds.

    Raises:
        KeyError: No worker notes such a metric.
    """
    return _CELLS[name]


def key(name: str) -> str:
    """The name of a metric without its unit."""
    return _UNIT.sub("", name)


def readings(
    row: Sequence[int], timed: Mapping[str, float], outside: Mapping[str, float]
) -> dict[str, float]:
    """What is known of a worker's metrics now, in the order of the table.

    Args:
        row: The worker's row of the board.
        timed: The 99th percentile in seconds of each of `TIMERS` that has recorded something.
        outside: What the node has found out.
    """
    return {
        name: row[at] if at else timed.get(timer, 0.0) if timer else outside[name]
        for name, at, timer in _READ
    }


def between(before: Sequence[float], now: Sequence[float], noted_ns: int) -> list[Any]:
    """The metrics of a worker between two readings; times as shares of that, not in seconds.

    Args:
        before: The values of `readings`.
        now: The same, later.
        noted_ns: How far the moments are apart at which the worker has noted its totals. They are
            shares of that, for a worker that is late notes them late.
    """
    per_ns = 1 / noted_ns if noted_ns > 0 else 0.0
    found: list[Any] = [round(one, 6) if type(one) is float else one for one in now]
    for at, times, digits in _GROWING:
        found[at] = round(max(0, now[at] - before[at]) * (per_ns * times), digits)
    return found


def told_of(worker: WorkerPoint) -> tuple[Any, ...]:
    """What a node tells of a worker: its `TOLD`."""
    _, *told = vars(worker).values()
    return tuple(told)


def in_a_second(node: str, told: Sequence[Any], span_s: float) -> WorkerPoint:
    """How a worker of a node did in a second.

    Args:
        node: The node's name.
        told: What is told of the worker: `TOLD`, times as shares.
        span_s: How long the second was.
    """
    values = list(told)
    for at in _TIMES_AT:
        values[at] = round(values[at] * span_s, 6)
    return WorkerPoint(node, *values)


TIMES = tuple(name for name, one in WORKER.items() if one.source is Source.TIME)
"""Figures in seconds of their second."""
TOLD = tuple(one.name for one in fields(WorkerPoint))[1:]
"""What a node tells of a worker, in this order: all of it but the node's name."""
_TIMES_AT = [TOLD.index(name) for name in TIMES]
TIMERS = frozenset(one.timer for one in WORKER.values() if one.timer)
"""Timers of which each worker's own percentiles are looked at."""


def share(record: WorkerPoint | NodePoint, name: str) -> float:
    """What the limit of a metric is about: the metric, or which share of another one is used."""
    one = (WORKER if isinstance(record, WorkerPoint) else NODE)[name]
    value: float = getattr(record, name)
    if not one.of:
        return value
    whole: float = getattr(record, one.of)
    if not whole:
        return 0.0
    return 1 - value / whole if one.is_left else value / whole
