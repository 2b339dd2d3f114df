"""Two runs side by side as one page for people, in one file that needs no other.

It says first whether the runs differ by more than their own noise, then in what, and then lets
people look: charts have both runs on one axis of time.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import Any

from amoc.metrics.histogram import Histogram
from amoc.results.compare import charts as overlaid
from amoc.results.compare.comparison import Comparison, Figure, Side
from amoc.results.live_totals import BUILT_IN_TIMERS
from amoc.results.report import run_annotations as marks
from amoc.results.report import shell
from amoc.results.report.headline import verdict
from amoc.results.report.tables import Table
from amoc.results.report.texts import MINUS, around, clip, difference, figure, moment

MAX_NAME = 120
MAX_VALUE = 200
MAX_MARKS = 40
"""Of each run, or the charts would be nothing but marks."""
MAX_FIGURES = 2_000


def write(found: Comparison, path: Path) -> None:
    """Write the page to `path`, as a whole or not at all.

    Raises:
        ResourceError: It cannot be written.
    """
    shell.save(render(found), path)


def render(found: Comparison) -> str:
    """The comparison as an HTML page that needs no other file."""
    timers = _timers(found.sides)[: overlaid.MAX_CHARTS]
    rows = overlaid.steps(
        [(side.label, side.record.points) for side in found.sides],
        max(side.stretches.ends_s for side in found.sides),
        timers=timers,
    )
    times = [row.t_s for row in rows["A"]]
    happened = {side.label: _happened(side) for side in found.sides}
    groups = {
        "counters": overlaid.counters(rows, _busiest(found.sides, _counters)),
        "timers": overlaid.timers(rows, timers),
        "throttles": overlaid.throttles(rows, _busiest(found.sides, _throttles)),
    }
    load, own = overlaid.load(rows), overlaid.generator(rows)
    spectra = overlaid.spectra(
        timers,
        lambda name: {side.label: side.tally.timers.get(name, Histogram()) for side in found.sides},
    )
    charts = [chart for group in groups.values() for chart in (*group.shown, *group.more)]
    figures = [*found.figures, *found.own]
    return shell.fill(
        "compare.html",
        {
            "began_at": None,
            "ends_s": times[-1] if times else 0.0,
            "times": times,
            "bands": _bands(found.sides),
            "marks": [mark for one in happened.values() for mark in _marks(*one)],
            "charts": {
                chart.key: chart.to_json() for chart in (*charts, *load, *own) if not chart.empty
            },
            "spectra": {one.key: one.to_json() for one in spectra if not one.empty},
        },
        sides=[(side, verdict(side.run)) for side in found.sides],
        conclusion=found.conclusion(),
        differs=bool(found.found),
        judged=found.judged,
        found=_rows(found.found),
        figures=_rows(figures[:MAX_FIGURES]),
        figures_left_out=max(0, len(figures) - MAX_FIGURES),
        differing=_differing(found),
        happened=_events(happened),
        groups=groups,
        spectra=spectra,
        load=load,
        own=own,
        times=times,
    )


def _timers(sides: Sequence[Side]) -> list[str]:
    names = _busiest(
        sides, lambda side: {name: one.count for name, one in side.tally.timers.items()}
    )
    return [name for name in names if name not in BUILT_IN_TIMERS]


def _counters(side: Side) -> dict[str, int]:
    return side.tally.counters


def _throttles(side: Side) -> dict[str, int]:
    return {name: one["executions"] for name, one in side.tally.throttles.items()}


def _busiest(sides: Iterable[Side], of: Callable[[Side], dict[str, int]]) -> list[str]:
    counts: dict[str, int] = {}
    for side in sides:
        for name, count in of(side).items():
            counts[name] = counts.get(name, 0) + count
    return sorted((name for name in counts if counts[name]), key=lambda one: (-counts[one], one))


def _rows(figures: Sequence[Figure]) -> list[dict[str, Any]]:
    """The rows of a table; a name stands in the first of its rows only."""
    rows, before = [], ("", "")
    for one in figures:
        name = f"{one.kind} {clip(one.name, MAX_NAME)}"
        apart, relative = difference(one.first, one.second, one.unit, one.differs)
        rows.append(
            {
                "name": name if (one.kind, one.name) != before else "",
                "statistic": one.statistic,
                "first": figure(one.first, one.unit),
                "second": figure(one.second, one.unit),
                "difference": apart,
                "relative": relative,
                "noise": around(one.noise, one.first, one.unit),
                "said": one.said,
                "tone": _tone(one),
            }
        )
        before = one.kind, one.name
    return rows


def _tone(one: Figure) -> str:
    if one.said == "faster":
        return "good"
    if one.said == "slower" or (one.kind == "crashes" and one.said == "more"):
        return "bad"
    return "doubt" if one.differs else ""


def _differing(found: Comparison) -> Table:
    rows = [
        (
            f"{one.kind} {clip(one.name, MAX_NAME)}",
            clip(one.first, MAX_VALUE) or MINUS,
            clip(one.second, MAX_VALUE) or MINUS,
        )
        for one in found.differing
    ]
    return Table("differing", "How they were made", ("", "A", "B"), rows, frozenset({1, 2}))


def _happened(side: Side) -> tuple[str, list[marks.Happened]]:
    rows, _ = marks.happened(side.record.journal, side.stretches)
    return side.label, [row for row in rows if row.mark][:MAX_MARKS]


def _marks(label: str, rows: Sequence[marks.Happened]) -> list[dict[str, Any]]:
    return [{**mark, "number": f"{label}{mark['number']}"} for mark in marks.marks(rows)]


def _events(happened: dict[str, tuple[str, list[marks.Happened]]]) -> Table:
    rows = [
        (f"{label}{row.mark}", moment(row.t_s), row.kind, row.whole, row.comment)
        for label, (_, some) in happened.items()
        for row in some
    ]
    heads = ("mark", "at", "kind", "what", "comment")
    return Table("happened", "What happened", heads, rows, frozenset({2, 3, 4}))


def _bands(sides: Sequence[Side]) -> list[dict[str, Any]]:
    """What was left out of the figures at the beginning."""
    lengths = {side.label: side.warmup_s for side in sides if side.warmup_s}
    if len(lengths) == len(sides) and len(set(lengths.values())) == 1:
        lengths = {"both": lengths[sides[0].label]}
    return [
        vars(marks.Band("warmup", 0.0, end_s, f"warm-up of {label}"))
        for label, end_s in lengths.items()
    ]
