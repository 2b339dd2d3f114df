"""Which charts a report has over time. Pure.

What is busiest comes first, and of very many metrics only so many are charted: a page with a
thousand lines is read by nobody. Tables have all of them.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from amoc.report.charts import COLOURS, GREY, Chart, Group, Line
from amoc.report.columns import Column, growth, highest, latest, quantiles, rates, rounded
from amoc.report.thinning import Row
from amoc.series import Point, WorkerPoint

SHOWN = 4
"""Charts of one kind that are seen at once."""
MOST_CHARTS = 12
"""Charts of one kind that there are at the most."""
MOST_CAUSES = 6
MOST_WORKERS = 6
"""Workers that have a line of their own; of more, the worst have one."""

PERCENTILES = {"p50": 0.5, "p95": 0.95, "p99": 0.99}
_COLOUR_OF = {"p50": 1, "p95": 3, "p99": 2, "max": GREY}


def left_out(count: int, of: str) -> str:
    """A sentence on `count` things that have no chart."""
    return f"{count:,} {of} are not charted; the tables below have them." if count > 0 else ""


def users(rows: Sequence[Row]) -> Chart:
    """Users by what they do."""
    lines = [
        Line("running", highest(rows, lambda one: one.users.get("running")), 1, "area"),
        Line("to be started", highest(rows, lambda one: one.users.get("waiting")), 5),
        Line("finished", latest(rows, lambda one: one.users.get("finished")), 3, "dash"),
        Line("removed", latest(rows, lambda one: one.users.get("removed")), 4, "dash"),
        Line("restarted", latest(rows, lambda one: one.users.get("restarted")), 2, "dash"),
    ]
    return Chart("users", "Users", "", [line for line in lines if any(line.known)])


def starts(rows: Sequence[Row]) -> Chart:
    """How fast users started."""
    values = growth(rows, lambda one: one.users.get("started", 0))
    return Chart("starts", "User starts", "/s", [Line("starts", values, 1, "area")])


def crashes(rows: Sequence[Row], causes: Mapping[str, int]) -> Chart:
    """Iterations that raised, by cause; `causes` has all of them, the most frequent first."""
    names = list(causes)
    own, others = names[:MOST_CAUSES], frozenset(names[MOST_CAUSES:])
    lines = [
        Line(name, rates(rows, _crashed(name)), colour)
        for name, colour in zip(own, (2, 1, 3, 4, 5, 6), strict=False)
    ]
    if others:
        rest = rates(rows, lambda one: sum(one.crashes[it] for it in one.crashes if it in others))
        lines.append(Line(f"{len(others)} other causes", rest, GREY))
    return Chart("crashes", "Crashed iterations", "/s", lines)


def _crashed(cause: str) -> Callable[[Point], float]:
    return lambda point: point.crashes.get(cause, 0)


def _counted(name: str) -> Callable[[Point], float]:
    return lambda point: point.counters.get(name, 0)


def _stands(name: str) -> Callable[[Point], float | None]:
    return lambda point: point.gauges.get(name)


def load(rows: Sequence[Row], summary: Mapping[str, Any]) -> Group:
    """What the run did to its target: users, and how often it did what."""
    causes = {one["cause"]: one["count"] for one in summary.get("crashes", ())}
    shown, more, missing = _counters(rows, summary.get("counters", {}))
    charts = [users(rows), starts(rows), *shown]
    if causes:
        charts.append(crashes(rows, causes))
    title = "Counters that are less busy"
    return Group("load", "Load", charts, more, title, left_out(missing, "less busy counters"))


def _counters(
    rows: Sequence[Row], totals: Mapping[str, int]
) -> tuple[list[Chart], list[Chart], int]:
    """Rates of counters, as many to a chart as there are colours, and how many have none."""
    used = (name for name, count in totals.items() if count)
    busy = sorted(used, key=lambda one: (-totals[one], one))
    charts = []
    for at in range(0, min(len(busy), SHOWN * COLOURS), COLOURS):
        some = busy[at : at + COLOURS]
        lines = [
            Line(name, rates(rows, _counted(name)), number) for number, name in enumerate(some, 1)
        ]
        title = "Counters" if at == 0 else f"Counters {at + 1} to {at + len(some)}"
        charts.append(Chart(f"counters{at}", title, "/s", lines))
    return charts[:1], charts[1:], len(busy) - SHOWN * COLOURS


def gauges(rows: Sequence[Row], names: Sequence[str]) -> Group:
    """Gauges, each in a chart of its own, for they have nothing in common."""
    charts = [
        Chart(f"gauge{at}", name, "", [Line(name, latest(rows, _stands(name)))])
        for at, name in enumerate(names[:MOST_CHARTS])
    ]
    missing = left_out(len(names) - MOST_CHARTS, "gauges")
    return Group("gauges", "Gauges", charts[:SHOWN], charts[SHOWN:], "More gauges", missing)


def throttles(rows: Sequence[Row], found: Mapping[str, Mapping[str, Any]]) -> Group:
    """Throttles, the busiest first, two charts each."""
    used = [name for name, one in found.items() if one.get("requests")]
    busy = sorted(used, key=lambda name: (-found[name]["requests"], name))
    charts = [
        chart
        for at, name in enumerate(busy[:MOST_CHARTS])
        for chart in throttle(rows, f"throttle{at}", name)
    ]
    missing = left_out(len(busy) - MOST_CHARTS, "throttles")
    shown, more = charts[: 2 * SHOWN], charts[2 * SHOWN :]
    return Group("throttles", "Throttles", shown, more, "More throttles", missing)


def timer(rows: Sequence[Row], key: str, title: str, name: str, family: str) -> Chart:
    """Percentiles of a timer."""
    columns = quantiles(rows, name, *PERCENTILES.values())
    lines = [
        Line(label, column, _COLOUR_OF[label], "dots" if label == "max" else "line")
        for label, column in zip((*PERCENTILES, "max"), columns, strict=True)
    ]
    return Chart(key, title, "s", lines, family=family)


def throttle(rows: Sequence[Row], key: str, name: str) -> list[Chart]:
    """What a throttle was to let through, what it did, and who waited."""

    def wanted(point: Point) -> float | None:
        one = point.throttles.get(name)
        return one.wanted_per_s if one is not None else None

    def asked(point: Point) -> float:
        one = point.throttles.get(name)
        return one.requests if one is not None else 0

    def passed(point: Point) -> float:
        one = point.throttles.get(name)
        return one.executions if one is not None else 0

    def waiting(point: Point) -> float | None:
        one = point.throttles.get(name)
        return one.waiting if one is not None else None

    flow = [
        Line("requests", rates(rows, asked), 5),
        Line("let through", rates(rows, passed), 1),
        Line("wanted", latest(rows, wanted), 2, "step"),
    ]
    shown = [line for line in flow if line.known]
    return [
        Chart(f"{key}flow", f"{name}: wanted and let through", "/s", shown),
        Chart(
            f"{key}wait",
            f"{name}: waiting",
            "",
            [Line("waiting", highest(rows, waiting), 4, "area")],
        ),
    ]


@dataclass(frozen=True)
class _Level:
    """A level that each worker has.

    Attributes:
        always: Chart it even if it is nothing but zeros.
    """

    key: str
    title: str
    unit: str
    of: str
    note: str
    always: bool = True
    least_top: float = 0.0


_LEVELS = (
    _Level("lag", "Loop lag", "s", "lag_p99_s", "What each timer of this worker may be wrong by."),
    _Level("cpu", "CPU", "%", "cpu", "100 % is one core; near it a worker is late.", least_top=1.0),
    _Level(
        "late",
        "Lateness at throttles",
        "s",
        "late_p99_s",
        "How late users were let through.",
        always=False,
    ),
    _Level(
        "queued",
        "Ready, but without a core",
        "%",
        "queued_s",
        "Somebody else had the host's cores.",
        always=False,
        least_top=0.1,
    ),
    _Level(
        "gc",
        "Garbage collection",
        "%",
        "gc_s",
        "Time in pauses of the collector.",
        always=False,
        least_top=0.1,
    ),
    _Level("rss", "Memory", "B", "rss_bytes", "Resident; pages shared with others count in each."),
)


def workers(rows: Sequence[Row]) -> list[Chart]:
    """How the workers and the controller did."""
    slots = sorted(
        {(one.node, one.slot) for row in rows for point in row.points for one in point.workers}
    )
    if not slots:
        return []
    tables = [
        [{(one.node, one.slot): one for one in point.workers} for point in row.points]
        for row in rows
    ]
    charts = []
    for level in _LEVELS:
        columns = {slot: _level(tables, slot, level.of) for slot in slots}
        lines = _lines(columns)
        if level.key == "cpu":
            lines.append(
                Line("controller", highest(rows, lambda one: one.controller_cpu), GREY, "dash")
            )
        if level.key == "lag":
            lines.append(
                Line("controller", highest(rows, lambda one: one.controller_lag_s), GREY, "dash")
            )
        chart = Chart(
            level.key, level.title, level.unit, lines, level.note, least_top=level.least_top
        )
        if level.always or not chart.idle:
            charts.append(chart)
    host = [
        Line(name, highest(rows, _busy(name)), 1 + at % COLOURS)
        for at, name in enumerate(
            sorted({node.name for row in rows for p in row.points for node in p.nodes})[:COLOURS]
        )
    ]
    if host:
        note = "Share of all cores of the host, whoever used them."
        charts.insert(2, Chart("host", "CPU of the host", "%", host, note, least_top=1.0))
    return charts


def _busy(node: str) -> Callable[[Point], float | None]:
    return lambda point: next((one.cpu for one in point.nodes if one.name == node), None)


_Tables = Sequence[Sequence[Mapping[tuple[str, int], WorkerPoint]]]


def _level(tables: _Tables, slot: tuple[str, int], field: str) -> Column:
    """The highest level of a worker in each row."""
    column: Column = []
    for row in tables:
        found = [getattr(one[slot], field) for one in row if slot in one]
        column.append(rounded(max(found, default=None)))
    return column


def _lines(columns: Mapping[tuple[str, int], Column]) -> list[Line]:
    """A line for each worker; of very many, the worst, and what lies in the middle."""

    def mean(slot: tuple[str, int]) -> float:
        known = [value for value in columns[slot] if value is not None]
        return sum(known) / len(known) if known else 0.0

    chosen = list(columns)
    lines: list[Line] = []
    if len(columns) > MOST_WORKERS:
        chosen = sorted(sorted(columns, key=mean, reverse=True)[: MOST_WORKERS - 2])
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
        Line(f"worker {node}/{slot}", columns[node, slot], 1 + at)
        for at, (node, slot) in enumerate(chosen)
    ]
    return lines + named


def _middle(values: Sequence[float | None]) -> float | None:
    known: list[Any] = sorted(value for value in values if value is not None)
    return known[len(known) // 2] if known else None


def _highest(values: Sequence[float | None]) -> float | None:
    return max((value for value in values if value is not None), default=None)
