"""Charts of the load generator over time: its workers, its controller, their hosts. Pure.

Measurements are only as good as the load generator was on time. So lag, CPU and what takes it away
are charted for each worker, whether or not any limit was exceeded.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping, Sequence
from operator import attrgetter

from amoc.base.text import natural
from amoc.metrics.health_figures import NODE, WORKER, Figure, WorkerPoint, key
from amoc.metrics.health_limits import LIMITS
from amoc.metrics.workers_together import mean_of
from amoc.results.report.charts import COLOURS, GREY, MAX_LABEL, Chart, Labels, Line
from amoc.results.report.columns import Column, highest, rounded
from amoc.results.report.rows import Row
from amoc.results.report.texts import clip
from amoc.results.report.texts import worker as name_of
from amoc.results.series import Point
from amoc.results.stretch import max_or_none

MAX_WORKERS = 6
"""Workers that have a line of their own; of more, the worst have one."""

_Place = tuple[str, int]
_Rows = Sequence[Mapping[_Place, WorkerPoint]]
_NONE: Labels = {}


def workers(rows: Sequence[Row], keep: Labels = _NONE) -> list[Chart]:
    """Charts of workers and controller, for each health metric that has one.

    Args:
        rows: What they are drawn from.
        keep: Lines of charts: of many workers these have some, whichever are the worst in `rows`.
    """
    worst = [{(one.node, one.worker): one for one in row.highest.workers} for row in rows]
    places = sorted({place for row in worst for place in row})
    charts = []
    for name, one in WORKER.items() if places else ():
        columns = {place: _column(worst, place, name, one) for place in places}
        lines = _lines(columns, _of_all(rows, columns, name, one), keep.get(key(name)))
        if one.controller:
            lines.append(
                Line("controller", highest(rows, attrgetter(one.controller)), GREY, "dash")
            )
        charts += _chart(key(name), one, lines)
    return charts


def hosts(rows: Sequence[Row]) -> list[Chart]:
    """Charts of the hosts."""
    names = sorted({node.name for row in rows for node in row.highest.nodes}, key=natural)
    charts = []
    for name, one in NODE.items() if names else ():
        lines = [
            Line(node, highest(rows, _of_host(node, name)), at)
            for at, node in enumerate(names[:COLOURS], 1)
        ]
        charts += _chart(f"host_{key(name)}", one, lines)
    return charts


def _chart(name: str, one: Figure, lines: Sequence[Line]) -> list[Chart]:
    """The chart of a health metric, if it has one and there is something to see."""
    limits = {"": one.limit, "controller": one.controller}
    chart = Chart(
        name,
        one.title,
        one.unit,
        lines,
        one.note,
        least_top=one.least_top,
        limits={of: getattr(LIMITS, limit) for of, limit in limits.items() if limit},
    )
    return [chart] if one.note and (one.always or not chart.idle) else []


def _of_host(node: str, figure: str) -> Callable[[Point], float | None]:
    return lambda point: next(
        (getattr(one, figure) for one in point.nodes if one.name == node), None
    )


def _column(rows: _Rows, worker: _Place, name: str, one: Figure) -> Column:
    """The maximum of a worker's health metric in each row."""
    found: Column = [getattr(row[worker], name) if worker in row else None for row in rows]
    return [_value(value, one) for value in found]


def _value(value: float | None, one: Figure) -> float | None:
    return rounded(value or None if one.zero_is_none else value)


def _of_all(
    rows: Sequence[Row], columns: Mapping[_Place, Column], name: str, figure: Figure
) -> list[Line]:
    """Lines for what is of all workers."""
    told = [row.highest.together for row in rows]
    if any(told):
        what = "mean"
        middle: Column = [_value(mean_of(some, name), figure) for some in told]
        most: Column = [
            _value(max_or_none(getattr(one.highest, name) for one in some), figure) for some in told
        ]
    else:
        what = "median"
        every = [*zip(*columns.values(), strict=True)]
        middle, most = [*map(_middle, every)], [*map(max_or_none, every)]
    return [
        Line(f"{what} of all workers", middle, 5, "dash"),
        Line("maximum of all workers", most, 6, "dash"),
    ]


def _lines(
    columns: Mapping[_Place, Column], of_all: list[Line], keep: Collection[str] | None
) -> list[Line]:
    """A line for each worker; of many, the worst, and what is of all."""

    def mean(worker: tuple[str, int]) -> float:
        return sum(value for value in columns[worker] if value is not None)

    chosen = list(columns)
    lines: list[Line] = []
    if len(columns) > MAX_WORKERS:
        if keep is not None:
            chosen = [place for place in columns if clip(name_of(*place), MAX_LABEL) in keep]
        else:
            chosen = sorted(sorted(columns, key=mean, reverse=True)[: MAX_WORKERS - 2])
        lines = of_all
    named = [
        Line(name_of(node, worker), columns[node, worker], 1 + at)
        for at, (node, worker) in enumerate(chosen)
    ]
    return lines + named


def _middle(values: Sequence[float | None]) -> float | None:
    known = sorted(value for value in values if value is not None)
    return known[len(known) // 2] if known else None
