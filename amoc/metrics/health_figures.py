"""Health metrics of workers and hosts: the one table that declares them. Pure.

A metric is a field of `WorkerPoint` or `NodePoint` with its `Figure`: where it comes from, its
unit, what it means and how it is shown. The board, the sampler, the series, the report, the
exporters, the CSV and JSON export and the terminal view read this table; none of them has another
list.

A metric with a limit is judged by `amoc.results.generator_health`, which takes its texts from here.

To add a worker's metric, declare a field of `WorkerPoint` here and measure it: either the worker
writes it to its row of the board (`cell`, for example in `amoc.runtime.worker.heartbeat`), or the
node measures it from outside (`amoc.runtime.node.sampler`). A host's metric is a field of
`NodePoint` and is measured in `amoc.runtime.node.host_stats`. A test names the pages of `docs/`
that must list it.

Over several seconds, as in a row of a chart, a worker's metric is its maximum. Each worker has its
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
    """Where a metric comes from, and what its value of a second means."""

    LEVEL = auto()
    """The worker writes a level; its value at the end of the second."""
    TIME = auto()
    """The worker writes a total in nanoseconds; the seconds added to it in the second."""
    SHARE = auto()
    """As `TIME`, but as a share of the second."""
    RATE = auto()
    """The worker writes a total count; the number added to it per second."""
    TIMER = auto()
    """A timer of the worker; the 99th percentile of its durations in the second, or 0."""
    OUTSIDE = auto()
    """Measured by the node; its value at the end of the second."""


_NOTED = (Source.LEVEL, Source.TIME, Source.SHARE, Source.RATE)


class Figure(NamedTuple):
    """The declaration of a metric.

    Attributes:
        source: Where it comes from.
        help: Its meaning, for exporters; without a full stop.
        unit: The unit shown to people, as in `amoc.results.report.charts.Chart`; a `Source.TIME` is
            shown as a share of the second.
        timer: The timer of a `Source.TIMER`.
        title: The title of its chart in the report.
        note: A sentence below that chart; a metric without one has no chart.
        always: Whether it is charted even if it was 0 all the time.
        zero_is_none: Whether 0 means that nothing was recorded, so the chart has a gap there.
        least_top: The least upper end of the chart's range.
        column: The heading of its column in the terminal view; a metric without one has no column.
            A host's metric is shown in the workers' column with the same heading.
        limit: Its limit: a field of `amoc.metrics.health_limits.Limits`.
        what: The subject of a finding about it.
        finding: The text of a finding; ``{worst}`` is replaced by the worst value.
        advice: What to do about it.
        of: The metric that the limit is a share of; empty if the limit is on the metric itself.
        is_left: Whether the metric is the unused part of `of`, not the used one.
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


def _figure(  # Any: fields of `Figure`; the result stands for a default of any type
    source: Source, meaning: str, unit: str = "", **how: Any
) -> Any:
    default = 0.0 if unit in ("%", "s", "/s") else 0
    return field(default=default, metadata={"figure": Figure(source, meaning, unit, **how)})


_MORE = "use more workers (--workers) or hosts, or fewer users"


@dataclass  # not frozen: creation would take three times as long, for several points per node
class WorkerPoint:
    """The figures of one worker in a second.

    Attributes:
        node: The node's name.
        worker: The worker's index on its node, from 0.
        incarnation: 1, and one more each time the worker is replaced.
        users_peak: The most users at once since the run began.
        cpu_s: CPU time since then. This and the following cover all incarnations.
        max_rss_bytes: The most resident memory.
        loop_lag_p99_s: 99th percentile of its event loop lag.
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
    """The figures of a node's host in a second.

    Attributes:
        name: The node's name.
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
"""The metrics of each worker, in order."""
NODE: Mapping[str, Figure] = _declared(NodePoint)
"""The metrics of each node's host, in order."""

_WRITTEN = [name for name, one in WORKER.items() if one.source in _NOTED]
_CELLS = {name: at for at, name in enumerate(_WRITTEN, len(Cell))}
_READ = [(name, _CELLS.get(name, 0), one.timer) for name, one in WORKER.items()]
"""The name of each metric, its cell, and its timer, if it has one."""
_DIGITS = {Source.SHARE: 4, Source.TIME: 6, Source.RATE: 1}
_GROWING = [
    (at, S_NS if one.source is Source.RATE else 1, _DIGITS[one.source])
    for at, one in enumerate(WORKER.values())
    if one.source in _DIGITS
]
"""The index of each total, the factor for its growth per ns, and the digits to round to."""
_UNIT = re.compile(r"(_p99)?_(s|bytes)$")


def cell(name: str) -> int:
    """Return the cell of a worker's row that holds metric `name`; times are in nanoseconds.

    Raises:
        KeyError: Workers write no such metric.
    """
    return _CELLS[name]


def key(name: str) -> str:
    """Return the name of a metric without its unit."""
    return _UNIT.sub("", name)


def readings(
    row: Sequence[int], timed: Mapping[str, float], outside: Mapping[str, float]
) -> dict[str, float]:
    """Return the current readings of a worker's metrics, in the order of the table.

    Args:
        row: The worker's row of the board.
        timed: The 99th percentile in seconds of each of `TIMERS` that has recorded something.
        outside: The values measured by the node.
    """
    return {
        name: row[at] if at else timed.get(timer, 0.0) if timer else outside[name]
        for name, at, timer in _READ
    }


def between(  # Any: some are whole numbers
    before: Sequence[float], now: Sequence[float], noted_ns: int
) -> list[Any]:
    """Return a worker's metrics between two readings; times as shares, not in seconds.

    Args:
        before: The values of `readings`.
        now: The same, later.
        noted_ns: The time between the worker's two updates of its totals. Shares are relative to
            it, because a worker that is late also updates its totals late.
    """
    per_ns = 1 / noted_ns if noted_ns > 0 else 0.0
    found = [round(one, 6) if type(one) is float else one for one in now]
    for at, times, digits in _GROWING:
        found[at] = round(max(0, now[at] - before[at]) * (per_ns * times), digits)
    return found


def sent_figures(worker: WorkerPoint) -> tuple[float, ...]:
    """Return the figures of a worker that its node sends: those in `SENT`."""
    _, *told = vars(worker).values()
    return tuple(told)


def worker_point(node: str, told: Sequence[float], span_s: float) -> WorkerPoint:
    """Return the figures of a worker in a second.

    Args:
        node: The node's name.
        told: The figures sent by the node: `SENT`, times as shares.
        span_s: The length of the second.
    """
    values: list[Any] = list(told)  # Any: some are whole numbers
    for at in _TIMES_AT:
        values[at] = round(values[at] * span_s, 6)
    return WorkerPoint(node, *values)


TIMES = tuple(name for name, one in WORKER.items() if one.source is Source.TIME)
"""Figures in seconds per second."""
SENT = tuple(one.name for one in fields(WorkerPoint))[1:]
"""The figures of a worker that its node sends, in order: all but the node's name."""
_TIMES_AT = [SENT.index(name) for name in TIMES]
TIMERS = frozenset(one.timer for one in WORKER.values() if one.timer)
"""Timers whose percentiles are also computed for each worker."""


def share(record: WorkerPoint | NodePoint, name: str) -> float:
    """Return what a metric's limit applies to: the metric, or the used share of another one."""
    one = (WORKER if isinstance(record, WorkerPoint) else NODE)[name]
    value: float = getattr(record, name)
    if not one.of:
        return value
    whole: float = getattr(record, one.of)
    if not whole:
        return 0.0
    return 1 - value / whole if one.is_left else value / whole
