"""Charts of two runs on one time axis, which begins when their first users could start. Pure.

The axis has as many steps as the longer run needs. A step shows the seconds of a run whose middle
is in it; if there are none, it shows the second that covers the middle of the step, so that seconds
a little longer than the steps leave no gaps. Missing seconds and pauses remain gaps.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from math import ceil

from amoc.metrics.histogram import Histogram
from amoc.results.counts import Count, all_crashes, counter, throttle
from amoc.results.report.charted import MAX_CHARTS, SHOWN
from amoc.results.report.charts import Chart, Group, Line, Spectrum
from amoc.results.report.columns import Column, highest, quantiles, rates, rounded
from amoc.results.report.downsample import COARSE, MAX_ROWS, Bucket, buckets
from amoc.results.report.latency import spectrum
from amoc.results.report.rows import Row, row_of
from amoc.results.series import Point
from amoc.results.store.blocks import BLOCK_S
from amoc.results.store.reader import has_stretches, stretches

_COLOURS = {"A": 1, "B": 2}

Rows = dict[str, list[Row]]
"""The rows of each step, by the run's label."""


def steps(
    runs: Sequence[tuple[str, Collection[Point]]],
    ends_s: float,
    most: int = MAX_ROWS,
    timers: Collection[str] = (),
) -> Rows:
    """Return the rows of the runs on one axis.

    Args:
        runs: The label and the points of each run.
        ends_s: The end of the longer one.
        most: The maximum number of steps.
        timers: The timers that are charted.
    """
    step_s = max(1.0, ends_s / most)
    coarse = step_s >= COARSE and any(has_stretches(points) for _, points in runs)
    if coarse:
        step_s = BLOCK_S * ceil(step_s / BLOCK_S)
    count = ceil(round(ends_s / step_s, 6))

    def row(step: int, some: Sequence[Bucket]) -> Row:
        found = [point for one in some for point in one.points]
        return row_of((step + 1) * step_s, found, any(one.active for one in some), timers)

    return {
        label: [
            row(step, some) for step, some in enumerate(_in_steps(buckets(some, 1), step_s, count))
        ]
        for label, points in runs
        for some in (stretches(points) if coarse else points,)
    }


def _in_steps(seconds: Iterable[Bucket], step_s: float, count: int) -> Iterator[list[Bucket]]:
    """Yield the seconds shown in each step, releasing those no longer needed."""
    inside: dict[int, list[Bucket]] = {}
    over: dict[int, Bucket] = {}
    told = reached = covered = 0
    for one in seconds:
        while covered < count and (covered + 0.5) * step_s <= one.t_s:
            over[covered] = one
            covered += 1
        span_s = sum(point.span_s for point in one.points)
        step = int((one.t_s - span_s / 2) / step_s)
        if one.points and 0 <= step < count:
            inside.setdefault(step, []).append(one)
            reached = step
        while told < min(reached, covered):
            yield _shown(told, step_s, inside, over)
            told += 1
    while told < count:
        yield _shown(told, step_s, inside, over)
        told += 1


def _shown(
    step: int, step_s: float, inside: dict[int, list[Bucket]], over: dict[int, Bucket]
) -> list[Bucket]:
    """Return the seconds with their middle in a step, or else the one that covers its middle."""
    some, one = inside.pop(step, []), over.pop(step, None)
    if some or one is None or not one.points:
        return some
    begin_s = one.t_s - sum(point.span_s for point in one.points)
    return [one] if begin_s <= (step + 0.5) * step_s else []


def overlay(
    rows: Rows, key: str, title: str, unit: str, of: Callable[[list[Row]], Column]
) -> Chart:
    """Return a chart with a line for each run."""
    lines = [Line(label, of(some), _COLOURS[label]) for label, some in rows.items()]
    return Chart(key, title, unit, lines)


def load(rows: Rows) -> list[Chart]:
    """Return the charts of users and crashes."""
    users = overlay(
        rows, "users", "Running users", "", _level(lambda one: one.users.get("running"))
    )
    crashes = overlay(rows, "crashes", "Crashed iterations", "/s", _rate(all_crashes))
    return [users] if crashes.idle else [users, crashes]


def counters(rows: Rows, names: Iterable[str]) -> Group:
    """Return the charts of counters' rates, busiest first."""
    return _counted("counters", rows, {name: counter(name) for name in names})


def throttles(rows: Rows, names: Iterable[str]) -> Group:
    """Return the charts of throttles' executions."""
    counts = {f"{name}: executions": throttle(name, "executions") for name in names}
    return _counted("throttles", rows, counts)


def _counted(what: str, rows: Rows, counts: Mapping[str, Count]) -> Group:
    charts = [
        overlay(rows, f"{what[:-1]}{at}", title, "/s", _rate(count))
        for at, (title, count) in enumerate(list(counts.items())[:MAX_CHARTS])
    ]
    return _group(what, charts)


def timers(rows: Rows, names: Iterable[str]) -> Group:
    """Return the charts of timers' medians and 99th percentiles."""
    charts = []
    for at, name in enumerate(list(names)[:MAX_CHARTS]):
        lines = []
        for label, some in rows.items():
            p50, p99, _ = quantiles(some, name, 0.5, 0.99)
            lines += [
                Line(f"{label} p50", p50, _COLOURS[label], "dash"),
                Line(f"{label} p99", p99, _COLOURS[label]),
            ]
        charts.append(Chart(f"timer{at}", name, "s", lines, "Dashed: median; solid: p99."))
    return _group("timers", charts)


def spectra(names: Iterable[str], whole: Callable[[str], dict[str, Histogram]]) -> list[Spectrum]:
    """Return the distribution of each timer in each run; `whole` gives its histograms by label."""
    return [
        Spectrum(
            f"spectrum{at}", name, {label: spectrum(one) for label, one in whole(name).items()}
        )
        for at, name in enumerate(list(names)[:MAX_CHARTS])
    ]


def generator(rows: Rows) -> list[Chart]:
    """Return the charts of the load generator."""
    return [
        overlay(rows, "lag", "Loop lag of the worst worker", "s", _level(_lag)),
        overlay(rows, "cpu", "CPU of all workers", "%", _cpu),
    ]


def _group(what: str, charts: Sequence[Chart]) -> Group:
    return Group(what, what.capitalize(), charts[:SHOWN], charts[SHOWN:], f"less busy {what}")


def _rate(count: Count) -> Callable[[list[Row]], Column]:
    return lambda rows: rates(rows, count)


def _level(level: Callable[[Point], float | None]) -> Callable[[list[Row]], Column]:
    return lambda rows: highest(rows, level)


def _lag(point: Point) -> float | None:
    every = (*point.workers, *(one.highest for one in point.together))
    return max((one.lag_p99_s for one in every), default=None)


def _cpu(rows: list[Row]) -> Column:
    return [rounded(row.workers_cpu) for row in rows]
