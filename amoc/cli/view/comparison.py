"""Two compared runs (`amoc.results.compare.comparison`) as tables for the terminal."""

from __future__ import annotations

from collections.abc import Sequence

from rich.console import Group, RenderableType
from rich.table import Table
from rich.text import Text

from amoc.base.clock import format_duration
from amoc.base.text import printable
from amoc.results.compare.comparison import INCONCLUSIVE, TOO_FEW, Comparison, Metric, Side
from amoc.results.report.texts import around, clip, difference, figure

MAX_METRICS = 100
"""With more of them, only significant changes are shown."""
MAX_NAME = 60
_STYLES = {"good": "bold green", "bad": "bold red", "doubt": "bold yellow"}


def render(found: Comparison) -> RenderableType:
    """All that is printed."""
    parts: list[RenderableType] = [_sides(found.sides)]
    if found.setup:
        parts += ["", _setup(found)]
    metrics = found.all_metrics
    shown = metrics if len(metrics) <= MAX_METRICS else found.significant
    if shown:
        parts += ["", _metrics(shown)]
    if left_out := len(metrics) - len(shown):
        text = f"{left_out:,} more metrics did not change significantly (--json has all)"
        parts.append(Text(text, "dim"))
    parts += ["", Text(found.conclusion(), "bold")]
    return Group(*parts)


def _table(*columns: str) -> Table:
    table = Table(box=None, pad_edge=False, padding=(0, 2, 0, 0), header_style="dim")
    for column in columns:
        table.add_column(column, overflow="fold")
    return table


def _sides(sides: Sequence[Side]) -> Table:
    table = _table("", "run", "scenario", "verdict", "compared", "comment")
    for side in sides:
        run = side.run
        begin = f" from {format_duration(side.warmup_s)}" if side.warmup_s else ""
        verdict = _clip(run.get("verdict"))
        table.add_row(
            Text(side.label, "bold"),
            Text(_clip(run.get("id"))),
            Text(_clip(run.get("scenario"))),
            Text(verdict, "green" if verdict in ("ok", "stopped") else "red"),
            f"{format_duration(side.tally.span_s)}{begin}" if side.tally.points else "no data",
            Text(_clip(run.get("comment")), "italic"),
        )
    return table


def _setup(found: Comparison) -> Table:
    table = _table("setup", "A", "B")
    for one in found.setup:
        first, second = Text(_clip(one.first)), Text(_clip(one.second))
        table.add_row(Text(f"{one.kind} {_clip(one.name)}"), first, second)
    return table


def _metrics(metrics: Sequence[Metric]) -> Table:
    table = _table("", "A", "B", "change", "", "noise", "")
    for column in table.columns[1:6]:
        column.justify = "right"
        column.no_wrap = True
    before = ("", "")
    for one in metrics:
        if (one.kind, one.name) != before:
            before = one.kind, one.name
            table.add_row(Text(f"{one.kind} {_clip(one.name)}", "bold"))
        table.add_row(*_row(one))
    return table


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
    """What somebody wrote, as it can stand in a terminal."""
    return printable(clip("" if text is None else text, MAX_NAME))


def _style(one: Metric) -> str:
    return _STYLES.get(one.tone) or ("yellow" if one.result in (TOO_FEW, INCONCLUSIVE) else "dim")
