"""Two compared runs (`amoc.results.compare.comparison`) as tables for the terminal."""

from __future__ import annotations

from collections.abc import Sequence

from rich.console import Group, RenderableType
from rich.table import Table
from rich.text import Text

from amoc.base.clock import format_duration
from amoc.base.text import printable
from amoc.results.compare.comparison import TOO_FEW, UNCERTAIN, Comparison, Figure, Side
from amoc.results.report.texts import around, clip, difference, figure

MAX_FIGURES = 100
"""With more of them, those within noise are left out."""
MAX_NAME = 60
_GOOD, _BAD = ("faster",), ("slower",)


def render(found: Comparison) -> RenderableType:
    """All that is printed."""
    parts: list[RenderableType] = [_sides(found.sides)]
    if found.differing:
        parts += ["", _differing(found)]
    figures = [*found.figures, *found.own]
    shown = figures
    if len(figures) > MAX_FIGURES:
        shown = [one for one in figures if one.differs]
    if shown:
        parts += ["", _figures(shown)]
    if len(shown) < len(figures):
        left_out = len(figures) - len(shown)
        parts.append(Text(f"{left_out:,} more figures do not differ (--json has all)", "dim"))
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
        begin = f" from {format_duration(side.warmup_s)} on" if side.warmup_s else ""
        verdict = _clip(run.get("verdict"))
        table.add_row(
            Text(side.label, "bold"),
            Text(_clip(run.get("id"))),
            Text(_clip(run.get("scenario"))),
            Text(verdict, "green" if verdict in ("ok", "stopped") else "red"),
            f"{format_duration(side.tally.span_s)}{begin}" if side.tally.points else "nothing",
            Text(_clip(run.get("comment")), "italic"),
        )
    return table


def _differing(found: Comparison) -> Table:
    table = _table("differs", "A", "B")
    for one in found.differing:
        first, second = Text(_clip(one.first)), Text(_clip(one.second))
        table.add_row(Text(f"{one.kind} {_clip(one.name)}"), first, second)
    return table


def _figures(figures: Sequence[Figure]) -> Table:
    table = _table("", "A", "B", "difference", "", "noise", "")
    for column in table.columns[1:6]:
        column.justify = "right"
        column.no_wrap = True
    before = ("", "")
    for one in figures:
        if (one.kind, one.name) != before:
            before = one.kind, one.name
            table.add_row(Text(f"{one.kind} {_clip(one.name)}", "bold"))
        table.add_row(*_row(one))
    return table


def _row(one: Figure) -> list[Text]:
    apart, relative = difference(one.first, one.second, one.unit, one.differs)
    style = "" if one.differs else "dim"
    return [
        Text(f"  {one.statistic}"),
        Text(figure(one.first, one.unit)),
        Text(figure(one.second, one.unit)),
        Text(apart, style),
        Text(relative, style),
        Text(around(one.noise, one.first, one.unit), "dim"),
        Text(one.said, _style(one)),
    ]


def _clip(text: object) -> str:
    """What somebody wrote, as it can stand in a terminal."""
    return printable(clip("" if text is None else text, MAX_NAME))


def _style(one: Figure) -> str:
    if one.said in _GOOD:
        return "bold green"
    if one.said in _BAD or (one.kind == "crashes" and one.said == "more"):
        return "bold red"
    if one.differs:
        return "bold yellow"
    return "yellow" if one.said in (TOO_FEW, UNCERTAIN) else "dim"
