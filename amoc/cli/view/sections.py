"""Live tables of a run, as sections, from `Status` alone. Pure.

Workers are shown as of the last second. Values near the limits of `amoc.metrics.health_limits` are
coloured.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence

from rich.text import Text

from amoc.base.clock import format_duration
from amoc.base.text import printable
from amoc.cli.view import figures, steps
from amoc.cli.view.table_layout import Cell, Section
from amoc.metrics.health_figures import NODE, WORKER, Figure, NodePoint, WorkerPoint, share
from amoc.metrics.health_limits import LIMITS, strain
from amoc.metrics.histogram import Histogram
from amoc.metrics.timer_statistics import FRACTIONS, MAIN
from amoc.results import counts
from amoc.results.series import Point
from amoc.runtime.controller.run_state import State
from amoc.runtime.controller.status import OperatorEvent, Status
from amoc.scenario.run_plan import RunPlan

MAX_ROWS = 30
"""Maximum number of rows of a section. The busiest are shown, sorted by name."""
MAX_CAUSES = 3
MAX_EVENTS = 5
FEW_WORKERS = 4
"""Up to this number workers are sorted by number; if there are more, the most loaded come first."""
NEAR = 0.8
"""Fraction of a limit from which a value is coloured."""
NOTHING = "–"
_STYLE = {"info": "", "warning": "yellow", "error": "bold red"}
_GRAVE = ("warning", "error")


def all_of(status: Status) -> list[Section]:
    """Return the sections that have rows, most important first."""
    found = [
        *steps.live(status, figures.Now(status).rate),
        _thresholds(status),
        _crashes(status),
        _timers(status),
        _counters(status),
        _throttles(status),
        _workers(status),
        _events(status),
    ]
    return [section for section in found if section.rows]


def ends_s(plan: RunPlan) -> float | None:
    """Return the planned end of a run, without pauses; None if its users determine the end."""
    ends = [plan.duration_s, plan.stages.total_s if plan.stages is not None else None]
    return min((end for end in ends if end is not None), default=None)


def gone_s(status: Status) -> float:
    """Return the elapsed time of the run without pauses, which its plan and warm-up refer to."""
    return status.elapsed_s - status.paused_s


def progress(status: Status) -> str:
    """Return the progress of the run in its plan."""
    plan = status.plan
    if plan is None or status.state not in (State.RUNNING, State.PAUSED):
        return ""
    gone = gone_s(status)
    parts = []
    end_s = ends_s(plan)
    if end_s is not None:
        parts.append(f"{format_duration(max(0.0, end_s - gone))} left")
    if plan.stages is not None and (stage := _stage(plan, gone)):
        parts.append(stage)
    if gone < plan.warmup_s:
        parts.append(f"warm-up for {format_duration(plan.warmup_s - gone)} more")
    return "".join(f", {part}" for part in parts)


def _stage(plan: RunPlan, gone_s: float) -> str:
    assert plan.stages is not None
    legs = list(plan.stages.legs())
    for number, leg in enumerate(legs, 1):
        if gone_s * 1e9 < leg.end_ns:
            return f"stage {number} of {len(legs)} to {round(leg.target):,} users"
    return ""


# Sections


def _thresholds(status: Status) -> Section:
    rows: list[Sequence[Cell]] = []
    results = status.thresholds
    if status.plan is not None and gone_s(status) <= status.plan.warmup_s:
        results = ()
    for text, result in sorted(results, key=lambda one: one[1].passed):
        met = ("passed", "green") if result.passed else ("failed", "bold red")
        rows.append((text, result.value_text, met))
    return Section("thresholds so far", ("value", ""), rows, len(rows))


def _crashes(status: Status) -> Section:
    now, causes = figures.Now(status), status.totals.whole.crashes
    rows: list[Sequence[Cell]] = [
        ((cause, "red"), f"{causes[cause]:,}", f"{now.rate(counts.crashes(cause)):,.1f}")
        for cause in counts.busiest(causes)[:MAX_CAUSES]
    ]
    return Section("crashes by cause", ("total", "now/s"), rows, len(causes))


def _counters(status: Status) -> Section:
    now, whole = figures.Now(status), status.totals.whole
    counted = figures.other_counters(status)
    rows = []
    for name in counts.busiest(counted)[:MAX_ROWS]:
        rates = whole.counter_per_s(name), now.rate(counts.counter(name))
        rows.append((name, f"{counted[name]:,}", *map(_rate, rates)))
    return Section("counters", ("total", "mean/s", "now/s"), rows, len(counted), (2, 1), "name")


def _rate(rate: float | None) -> str:
    return f"{rate:,.1f}" if rate is not None else ""


def _timers(status: Status) -> Section:
    timers, recent = status.totals.whole.timers, figures.latest(status.points, figures.RECENT_S)
    used = figures.targets(status)
    rows = []
    for name in counts.busiest(used)[:MAX_ROWS]:
        whole = timers[name]
        shown = [*_times(counts.samples(recent, name)), *_times(whole)]
        rows.append((name, f"{used[name]:,}", *shown, format_duration(whole.max_ns / 1e9)))
    labels = [one.label for one in MAIN]
    heads = ("total", *labels, *(f"all {label}" for label in labels), "all max")
    title = f"timers, last {figures.RECENT_S:g} s"
    return Section(title, heads, rows, len(used), (5, 6, 8, 1, 7, 3, 2), "name")


def _times(timer: Histogram) -> list[str]:
    if not timer.cells:
        return [NOTHING] * len(FRACTIONS)
    return [format_duration(one) for one in timer.quantiles_s(*FRACTIONS)]


def _throttles(status: Status) -> Section:
    now, used = figures.Now(status), figures.in_use(status)
    rows = [
        (
            name,
            f"{one.executions:,}",
            NOTHING if one.wanted_per_s is None else f"{one.wanted_per_s:,.6g}",
            f"{now.rate(counts.throttle(name, 'executions')):,.1f}",
            f"{one.waiting:,}",
            f"{one.missed:,}",
        )
        for name, one in list(used.items())[: figures.MAX_THROTTLES]
    ]
    heads = ("executions", "target/s", "now/s", "waiting", "missed")
    return Section("throttles", heads, rows, len(used), (5, 1))


_COLUMNS = {name: one for name, one in WORKER.items() if one.column}
"""Health metrics of workers that have a column."""
_KEPT_COLUMNS = 3
"""Columns of workers that remain in narrow windows."""


def _workers(status: Status) -> Section:
    if not status.points:
        return Section("workers", (), (), 0)
    point = status.points[-1]
    worst_first = sorted(point.workers, key=lambda one: (-strain(one), one.worker))
    there = sum(one.workers for one in point.together) or len(point.workers)
    few = there <= FEW_WORKERS
    shown = list(point.workers) if few else worst_first[:MAX_ROWS]
    rows = [*map(_worker, shown), *_others(point)]
    heads = [one.column for one in _COLUMNS.values()]
    count = len(rows) + there - len(shown)
    return Section("workers", heads, rows, count, range(len(heads), _KEPT_COLUMNS, -1))


def _worker(one: WorkerPoint) -> Sequence[Cell]:
    return (
        f"{one.node}/{one.worker}"
        + (f", replaced {one.incarnation - 1}×" if one.incarnation > 1 else ""),
        *(_cell(one, name, figure) for name, figure in _COLUMNS.items()),
    )


def _others(point: Point) -> Iterator[Sequence[Cell]]:
    controller: dict[str, Cell] = {
        one.column: _near(
            _shown(getattr(point, one.controller), one.unit),
            getattr(point, one.controller),
            getattr(LIMITS, one.controller),
        )
        for one in _COLUMNS.values()
        if one.controller
    }
    yield "controller", *_under_heads(controller)
    for node in point.nodes:
        found = {one.column: _cell(node, name, one) for name, one in NODE.items() if one.column}
        yield f"host of {node.name}", *_under_heads(found)
    for name in point.late:
        yield (f"{name} is late", "bold yellow"), *_under_heads({})


def _under_heads(cells: Mapping[str, Cell]) -> list[Cell]:
    return [cells.get(one.column, "") for one in _COLUMNS.values()]


def _cell(record: WorkerPoint | NodePoint, name: str, one: Figure) -> Cell:
    """Return a health metric, coloured near its limit."""
    if one.is_left and not getattr(record, one.of):
        return ""
    text = _shown(getattr(record, name), one.unit) + (" free" if one.is_left else "")
    return _near(text, share(record, name), getattr(LIMITS, one.limit)) if one.limit else text


def _shown(value: float, unit: str) -> str:
    match unit:
        case "%":
            return f"{value:.0%}"
        case "s":
            return format_duration(value)
        case "B":
            return f"{value / 2**30:,.1f} GiB" if value >= 2**30 else f"{value / 2**20:,.0f} MiB"
    return f"{value:,.0f}{unit}"


def _near(text: str, value: float, limit: float) -> Cell:
    """Return `text`, coloured if `value` is near or beyond `limit`."""
    if value >= limit:
        return text, "bold red"
    return (text, "yellow") if value >= NEAR * limit else text


def last_event(status: Status) -> Text | None:
    """Return a line with the newest warning or error, or else the newest event."""
    newest_first = list(reversed(status.events))
    grave = [one for one in newest_first if one.level in _GRAVE]
    for one in [*grave, *newest_first][:1]:
        text, style = _event(one)
        return Text.assemble((f"last {one.level if grave else 'event'}  ", "dim"), (text, style))
    return None


def _events(status: Status) -> Section:
    rows = [(_event(one),) for one in list(status.events)[: -MAX_EVENTS - 1 : -1]]
    return Section("last events", (), rows, len(rows), order="reversed")


def _event(one: OperatorEvent) -> tuple[str, str]:
    text = printable(f"{format_duration(one.at_s)}  {one.text}")
    return text, _STYLE.get(one.level, "")
