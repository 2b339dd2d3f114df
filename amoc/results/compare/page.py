"""Two runs side by side as a self-contained HTML page.

It states first whether any metric changed significantly, then which. Charts show both runs on one
time axis.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from pathlib import Path

from markupsafe import Markup

from amoc.metrics import reserved
from amoc.metrics.histogram import Histogram
from amoc.results.compare import charts as compare_charts
from amoc.results.compare.comparison import Comparison, Metric, Side
from amoc.results.counts import busiest
from amoc.results.report import run_annotations, shell
from amoc.results.report.charted import MAX_CHARTS
from amoc.results.report.headline import headline
from amoc.results.report.tables import Table
from amoc.results.report.texts import around, clip, difference, figure, moment
from amoc.results.series import add_counts
from amoc.results.step_rows import NO_VALUE

MAX_NAME = 120
MAX_VALUE = 200
MAX_ANNOTATIONS = 40
"""For each run; with more, the charts would show nothing else."""
MAX_METRICS = 2_000


def write(found: Comparison, path: Path) -> None:
    """Write the page to `path`, as a whole or not at all.

    Raises:
        ResourceError: It cannot be written.
    """
    shell.save(render(found), path)


def render(found: Comparison) -> str:
    """Return the comparison as a self-contained HTML page."""
    data, compared = parts(found)
    return shell.fill("compare.html", data, title=title(found), compared=compared)


def title(found: Comparison) -> str:
    """Return the title of the page."""
    first, second = (side.run.get("id") or side.label for side in found.sides)
    return f"{first} and {second}"


def parts(found: Comparison) -> tuple[dict[str, object], Markup]:
    """Return the data for the page's script, and the page's content."""
    timers = _timers(found.sides)[:MAX_CHARTS]
    rows = compare_charts.steps(
        [(side.label, side.record.points) for side in found.sides],
        max(side.interruptions.ends_s for side in found.sides),
        timers=timers,
    )
    times = [row.t_s for row in rows["A"]]
    events = {side.label: _events(side) for side in found.sides}
    groups = {
        "counters": compare_charts.counters(
            rows, _busiest(found.sides, lambda side: side.tally.counters)
        ),
        "timers": compare_charts.timers(rows, timers),
        "throttles": compare_charts.throttles(rows, _busiest(found.sides, _throttles)),
    }
    load, generator = compare_charts.load(rows), compare_charts.generator(rows)
    spectra = compare_charts.spectra(
        timers,
        lambda name: {side.label: side.tally.timers.get(name, Histogram()) for side in found.sides},
    )
    charts = [chart for group in groups.values() for chart in (*group.shown, *group.more)]
    metrics = found.all_metrics
    data: dict[str, object] = {
        "began_at": None,
        "ends_s": times[-1] if times else 0.0,
        "times": times,
        "bands": _bands(found.sides),
        "annotations": [one for some in events.values() for one in _numbered(*some)],
        "charts": {
            chart.key: chart.to_json() for chart in (*charts, *load, *generator) if not chart.empty
        },
        "spectra": {one.key: one.to_json() for one in spectra if not one.empty},
    }
    context = {
        "sides": [(side, headline(side.run)) for side in found.sides],
        "conclusion": found.conclusion(),
        "tested": found.tested,
        "significant": _rows(found.significant),
        "metrics": _rows(metrics[:MAX_METRICS]),
        "metrics_left_out": max(0, len(metrics) - MAX_METRICS),
        "setup": _setup(found),
        "events": _events_table(events),
        "groups": groups,
        "spectra": spectra,
        "load": load,
        "generator": generator,
        "times": times,
    }
    return data, shell.fragment("compare", context)


def _timers(sides: Sequence[Side]) -> list[str]:
    names = _busiest(
        sides, lambda side: {name: one.count for name, one in side.tally.timers.items()}
    )
    return [name for name in names if name not in reserved.TIMERS]


def _throttles(side: Side) -> dict[str, int]:
    return {name: one.executions for name, one in side.tally.throttles.items()}


def _busiest(sides: Iterable[Side], of: Callable[[Side], dict[str, int]]) -> list[str]:
    counts: dict[str, int] = {}
    for side in sides:
        add_counts(counts, of(side))
    return [name for name in busiest(counts) if counts[name]]


def _rows(metrics: Sequence[Metric]) -> list[dict[str, str]]:
    """Return the rows of a table; a name is shown only in the first of its rows."""
    rows, before = [], ("", "")
    for one in metrics:
        name = f"{one.kind} {clip(one.name, MAX_NAME)}"
        apart, relative = difference(one.first, one.second, one.unit, one.significant)
        rows.append(
            {
                "name": name if (one.kind, one.name) != before else "",
                "statistic": one.statistic,
                "first": figure(one.first, one.unit),
                "second": figure(one.second, one.unit),
                "difference": apart,
                "relative": relative,
                "noise": around(one.noise, one.first, one.unit),
                "result": one.result,
                "tone": one.tone,
            }
        )
        before = one.kind, one.name
    return rows


def _setup(found: Comparison) -> Table:
    rows = [
        (
            f"{one.kind} {clip(one.name, MAX_NAME)}",
            clip(one.first, MAX_VALUE) or NO_VALUE,
            clip(one.second, MAX_VALUE) or NO_VALUE,
        )
        for one in found.setup
    ]
    return Table("setup", "Differences in setup", ("", "A", "B"), rows, frozenset({1, 2}))


def _events(side: Side) -> tuple[str, list[run_annotations.Annotation]]:
    rows, _ = run_annotations.collect(side.record.journal, side.interruptions)
    return side.label, [row for row in rows if row.number][:MAX_ANNOTATIONS]


def _numbered(label: str, rows: Sequence[run_annotations.Annotation]) -> list[dict[str, object]]:
    return [
        {**one, "number": f"{label}{one['number']}"} for one in run_annotations.for_charts(rows)
    ]


def _events_table(events: dict[str, tuple[str, list[run_annotations.Annotation]]]) -> Table:
    rows = [
        (f"{label}{row.number}", moment(row.t_s), row.kind, row.text_with_count, row.comment)
        for label, (_, some) in events.items()
        for row in some
    ]
    heads = ("#", "time", "kind", "event", "comment")
    return Table("events", "Events", heads, rows, frozenset({2, 3, 4}))


def _bands(sides: Sequence[Side]) -> list[dict[str, object]]:
    """Return the bands that mark what is excluded at the beginning."""
    lengths = {side.label: side.warmup_s for side in sides if side.warmup_s}
    if len(lengths) == len(sides) and len(set(lengths.values())) == 1:
        lengths = {"both": lengths[sides[0].label]}
    return [
        vars(run_annotations.Band("warmup", 0.0, end_s, f"warm-up of {label}"))
        for label, end_s in lengths.items()
    ]
