"""How amoc itself did over time: its workers, its controller, their hosts. Pure.

A figure is as good as the generator was in time. So lag, CPU and what takes it away are charted for
each worker, whether or not anything was past a limit.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from amoc.results.generator_health import Limits
from amoc.results.report.charts import COLOURS, GREY, Chart, Line
from amoc.results.report.columns import Column, highest, rounded
from amoc.results.report.rows import Row
from amoc.results.report.texts import worker as name_of
from amoc.results.series import Point, WorkerPoint

MAX_WORKERS = 6
"""Workers that have a line of their own; of more, the worst have one."""

_Place = tuple[str, int]
_Rows = Sequence[Mapping[_Place, WorkerPoint]]


@dataclass(frozen=True)
class _Level:
    """A level that each worker has, and perhaps the controller.

    Attributes:
        of: The level of a worker in a second; None where there was none.
        controller: The same of the controller in a point.
        limit: What a worker may have of it.
        controller_limit: What the controller may have of it.
        always: Chart it even if there is nothing but zeros.
    """

    key: str
    title: str
    unit: str
    note: str
    of: Callable[[WorkerPoint], float | None]
    controller: Callable[[Point], float] | None = None
    limit: float | None = None
    controller_limit: float | None = None
    always: bool = True
    least_top: float = 0.0

    @property
    def limits(self) -> dict[str, float]:
        """The limits, by whose they are."""
        found = {"": self.limit, "controller": self.controller_limit}
        return {of: limit for of, limit in found.items() if limit is not None}


_LIMITS = Limits()
_LEVELS = (
    _Level(
        "lag",
        "Loop lag",
        "s",
        "What each timer of this worker may be wrong by.",
        lambda worker: worker.lag_p99_s or None,
        lambda point: point.controller_lag_s,
        _LIMITS.lag_s,
        _LIMITS.controller_lag_s,
    ),
    _Level(
        "cpu",
        "CPU",
        "%",
        "100 % is one core; near it a worker is late.",
        lambda worker: worker.cpu,
        lambda point: point.controller_cpu,
        _LIMITS.cpu,
        _LIMITS.controller_cpu,
        least_top=1.0,
    ),
    _Level(
        "late",
        "Lateness at throttles",
        "s",
        "How late users were let through.",
        lambda worker: worker.late_p99_s or None,
        limit=_LIMITS.late_s,
        always=False,
    ),
    _Level(
        "queued",
        "Ready, but without a core",
        "%",
        "Somebody else had the host's cores.",
        lambda worker: worker.queued_s,
        limit=_LIMITS.queued,
        always=False,
        least_top=0.1,
    ),
    _Level(
        "gc",
        "Garbage collection",
        "%",
        "Time in pauses of the collector.",
        lambda worker: worker.gc_s,
        limit=_LIMITS.gc,
        always=False,
        least_top=0.1,
    ),
    _Level(
        "rss",
        "Memory",
        "B",
        "Resident; pages shared with others count in each.",
        lambda worker: worker.rss_bytes,
    ),
)


def workers(rows: Sequence[Row]) -> list[Chart]:
    """How workers and controller did."""
    worst = [{(one.node, one.worker): one for one in row.highest.workers} for row in rows]
    workers = sorted({worker for row in worst for worker in row})
    charts = []
    for level in _LEVELS if workers else ():
        lines = _lines({worker: _column(worst, worker, level) for worker in workers})
        if level.controller is not None:
            lines.append(Line("controller", highest(rows, level.controller), GREY, "dash"))
        chart = Chart(
            level.key,
            level.title,
            level.unit,
            lines,
            level.note,
            least_top=level.least_top,
            limits=level.limits,
        )
        if level.always or not chart.idle:
            charts.append(chart)
    return charts


def hosts(rows: Sequence[Row]) -> list[Chart]:
    """How busy the hosts were, whoever made them so."""
    names = sorted({node.name for row in rows for node in row.highest.nodes})
    lines = [Line(name, highest(rows, _busy(name)), at) for at, name in enumerate(names, 1)]
    note = "Share of all cores of the host, whoever used them."
    charts = [Chart("host", "CPU of the host", "%", lines[:COLOURS], note, least_top=1.0)]
    return charts if lines else []


def _busy(node: str) -> Callable[[Point], float | None]:
    return lambda point: next((one.cpu for one in point.nodes if one.name == node), None)


def _column(rows: _Rows, worker: _Place, level: _Level) -> Column:
    """The highest level of a worker in each row."""
    return [rounded(level.of(row[worker])) if worker in row else None for row in rows]


def _lines(columns: Mapping[tuple[str, int], Column]) -> list[Line]:
    """A line for each worker; of very many, the worst, and what lies in the middle."""

    def mean(worker: tuple[str, int]) -> float:
        known = [value for value in columns[worker] if value is not None]
        return sum(known) / len(known) if known else 0.0

    chosen = list(columns)
    lines: list[Line] = []
    if len(columns) > MAX_WORKERS:
        chosen = sorted(sorted(columns, key=mean, reverse=True)[: MAX_WORKERS - 2])
        lines = [
            Line(
                "median of all workers",
                [_middle(values) for values in zip(*columns.values(), strict=True)],
                5,
                "dash",
            ),
            Line(
                "highest of all workers",
                [_highest(values) for values in zip(*columns.values(), strict=True)],
                6,
                "dash",
            ),
        ]
    named = [
        Line(name_of(node, worker), columns[node, worker], 1 + at)
        for at, (node, worker) in enumerate(chosen)
    ]
    return lines + named


def _middle(values: Sequence[float | None]) -> float | None:
    known: list[Any] = sorted(value for value in values if value is not None)
    return known[len(known) // 2] if known else None


def _highest(values: Sequence[float | None]) -> float | None:
    return max((value for value in values if value is not None), default=None)
