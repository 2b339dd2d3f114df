"""Charts of the load generator over time: its workers, its controller, their hosts. Pure.

Measurements are only as accurate as the load generator was punctual. So lag, CPU use and the causes
of CPU shortage are charted for each worker, whether or not any limit was exceeded.
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
"""Maximum number of workers with a line each; if there are more, only the worst have one."""

_Place = tuple[str, int]
_Rows = Sequence[Mapping[_Place, WorkerPoint]]
_NONE: Labels = {}


def workers(rows: Sequence[Row], keep: Labels = _NONE) -> list[Chart]:
    """Return the charts of workers and controller, one for each health metric that has one.

    Args:
        rows: The rows of the charts.
        keep: Lines that charts must have: with many workers, even if others are worse in `rows`.
    """
    worst = [{(one.node, one.worker): one for one in row.highest.workers} for row in rows]
    places = sorted({place for row in worst for place in row})
    charts = []
    for name, one in WORKER.items() if places else ():
        if not one.note:
            continue
        lines = _lines(rows, worst, places, (name, one), keep.get(key(name)))
        if one.controller:
            lines.append(
                Line("controller", highest(rows, attrgetter(one.controller)), GREY, "dash")
            )
        charts += _chart(key(name), one, lines)
    return charts


def hosts(rows: Sequence[Row]) -> list[Chart]:
    """Return the charts of the hosts."""
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
    """Return the chart of a health metric, if it has one and there is something to see."""
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
    """Return the maximum of a worker's health metric in each row."""
    return [_value(getattr(row[worker], name), one) if worker in row else None for row in rows]


def _value(value: float | None, one: Figure) -> float | None:
    return rounded(value or None if one.zero_is_none else value)


def _lines(
    rows: Sequence[Row],
    worst: _Rows,
    places: Sequence[_Place],
    figure: tuple[str, Figure],
    keep: Collection[str] | None,
) -> list[Line]:
    """Return a line for each worker; if there are many, for the worst and for all together."""
    name, one = figure
    chosen, lines = places, []
    if len(places) > MAX_WORKERS:
        lines = _of_all(rows, worst, name, one)
        if keep is not None:
            chosen = [place for place in places if clip(name_of(*place), MAX_LABEL) in keep]
        else:
            sums = dict.fromkeys(places, 0.0)
            for row in worst:
                for place, worker in row.items():
                    sums[place] += getattr(worker, name)
            chosen = sorted(sorted(places, key=sums.__getitem__, reverse=True)[: MAX_WORKERS - 2])
    named = [
        Line(name_of(*place), _column(worst, place, name, one), at)
        for at, place in enumerate(chosen, 1)
    ]
    return lines + named


def _of_all(rows: Sequence[Row], worst: _Rows, name: str, one: Figure) -> list[Line]:
    """Return the lines that cover all workers."""
    if any(row.highest.together for row in rows):
        what, told = "mean", [row.highest.together for row in rows]
        middle: Column = [_value(mean_of(some, name), one) for some in told]
        most = [max_or_none(getattr(node.highest, name) for node in some) for some in told]
    else:
        what, every = "median", [[getattr(it, name) for it in row.values()] for row in worst]
        middle = [_middle([_value(value, one) for value in values]) for values in every]
        most = [max_or_none(values) for values in every]
    return [
        Line(f"{what} of all workers", middle, 5, "dash"),
        Line("maximum of all workers", [_value(value, one) for value in most], 6, "dash"),
    ]


def _middle(values: Sequence[float | None]) -> float | None:
    known = sorted(value for value in values if value is not None)
    return known[len(known) // 2] if known else None
