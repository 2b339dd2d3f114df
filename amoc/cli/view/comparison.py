"""Comparison of two runs (`amoc.results.compare.comparison`), as tables for the terminal."""

from __future__ import annotations

from collections.abc import Sequence

from rich.console import Group, RenderableType
from rich.table import Table
from rich.text import Text

from amoc.base.clock import format_duration
from amoc.base.text import counted, printable
from amoc.cli.view.console import table, verdict_colour
from amoc.results.compare.comparison import INCONCLUSIVE, TOO_FEW, Comparison, Metric, Side
from amoc.results.report.texts import around, clip, difference, figure
from amoc.scenario.scenario_files import file_names

MAX_METRICS = 100
"""If there are more, only significant changes are shown, up to this number."""
MAX_SETUP = 100
MAX_NAME = 60
_STYLES = {"good": "bold green", "bad": "bold red", "doubt": "bold yellow"}


def render(found: Comparison) -> RenderableType:
    """Return everything to print."""
    parts: list[RenderableType] = [_sides(found.sides)]
    if found.setup:
        parts += ["", _setup(found)]
    metrics, significant = found.all_metrics, found.significant
    shown = metrics if len(metrics) <= MAX_METRICS else significant[:MAX_METRICS]
    if shown:
        parts += ["", _metrics(shown)]
    if more := max(0, len(significant) - MAX_METRICS):
        parts.append(_more(more, "changed significantly"))
    if left_out := len(metrics) - len(shown) - more:
        parts.append(_more(left_out, "did not change significantly"))
    parts += ["", Text(found.conclusion(), "bold")]
    return Group(*parts)


def _sides(sides: Sequence[Side]) -> Table:
    made = table("", "run", "scenario", "verdict", "compared", "comment")
    for side in sides:
        run = side.run
        begin = f" from {format_duration(side.warmup_s)}" if side.warmup_s else ""
        verdict = _clip(run.get("verdict"))
        made.add_row(
            Text(side.label, "bold"),
            Text(_clip(run.get("id"))),
            Text(_clip(file_names(str(run.get("scenario", ""))))),
            Text(verdict, verdict_colour(verdict)),
            f"{format_duration(side.tally.span_s)}{begin}" if side.tally.points else "no data",
            Text(_clip(run.get("comment")), "italic"),
        )
    return made


def _more(count: int, what: str) -> Text:
    return Text(f"{counted(count, 'more metric')} {what} (--json has all)", "dim")


def _setup(found: Comparison) -> Table:
    rows = [
        [f"{one.kind} {_clip(one.name)}", *map(_clip, (one.first, one.second))]
        for one in found.setup[:MAX_SETUP]
    ]
    if (more := len(found.setup) - MAX_SETUP) > 0:
        rows.append([f"{more:,} more (--json has all)", "", ""])
    return table("setup", "A", "B", rows=rows)


def _metrics(metrics: Sequence[Metric]) -> Table:
    made = table("", "A", "B", "change", "", "noise", "")
    for column in made.columns[1:6]:
        column.justify = "right"
        column.no_wrap = True
    before = ("", "")
    for one in metrics:
        if (one.kind, one.name) != before:
            before = one.kind, one.name
            made.add_row(Text(f"{one.kind} {_clip(one.name)}", "bold"))
        made.add_row(*_row(one))
    return made


def _row(one: Metric) -> list[Text]:
    apart, relative = difference(one.first, one.second, one.unit, one.significant)
    style = "" if one.significant else "dim"
    return [
        Text(f"  {one.statistic}"),
        Text(figure(one.first, one.unit)),
        Text(figure(one.second, one.unit)),
        Text(apart, style),
        Text(relative, style),
        Text(around(one.noise, one.first, one.unit), "dim"),
        Text(one.result, _style(one)),
    ]


def _clip(text: object) -> str:
    """Return foreign text in a form that is safe for a terminal."""
    return printable(clip("" if text is None else text, MAX_NAME))


def _style(one: Metric) -> str:
    return _STYLES.get(one.tone) or ("yellow" if one.result in (TOO_FEW, INCONCLUSIVE) else "dim")
