"""Layout of tables in small windows: which rows and columns fit. Pure.

Each row is one line, whatever it contains, so the total height is known in advance. If the window
is too narrow, columns are omitted in the order that a section defines, and then the first column is
cut. If it is too low, sections lose rows, the last section first.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from rich.cells import cell_len, set_cell_size
from rich.text import Text

from amoc.base.text import printable

Cell = str | tuple[str, str]
"""Text of a cell, optionally with its style."""
GAP = "  "
MIN_NAME = 16
"""Minimum width of the first column; columns are omitted before it becomes narrower."""
MIN_ROWS = 3
"""Rows for each section before any gets more."""


@dataclass(frozen=True)
class Section:
    """A table.

    Attributes:
        title: Heading of the first column.
        heads: Headings of the other columns.
        rows: Most important first; those that do not fit are omitted.
        count: Total number of rows, including those not in `rows`.
        first_to_go: Numbers of columns, from 1, in the order in which they are omitted.
        order: Order of the rows that fit: ``as given``, by ``name``, ``reversed``, or ``total
            last``, which is by name with the first row at the end.
    """

    title: str
    heads: Sequence[str]
    rows: Sequence[Sequence[Cell]]
    count: int
    first_to_go: Sequence[int] = ()
    order: str = "as given"


def share_out(wanted: Sequence[int], room: int, least: int = MIN_ROWS) -> list[int]:
    """Return the number of rows of each section; sections with rows need a line for headings, too.

    Args:
        wanted: Rows that each section has, most important section first.
        room: Lines for all sections.
        least: Minimum rows of each section before any gets more.
    """
    given = [0] * len(wanted)
    for number, rows in enumerate(wanted):
        if rows and room >= 2:
            given[number] = min(rows, least, room - 1)
            room -= given[number] + 1
    while room > 0 and (short := [n for n, rows in enumerate(wanted) if 0 < given[n] < rows]):
        for number in short[:room]:
            given[number] += 1
            room -= 1
    return given


def lines(section: Section, rows: int, width: int) -> list[Text]:
    """Return a section as `rows` lines and a heading, each at most `width` wide."""
    shown = list(section.rows[:rows])
    if section.order == "name":
        shown.sort(key=lambda row: _parts(row[0])[0])
    elif section.order == "total last":
        shown = [*sorted(shown[1:], key=lambda row: _parts(row[0])[0]), *shown[:1]]
    elif section.order == "reversed":
        shown.reverse()
    cut = f" ({len(shown)} of {section.count})" if len(shown) < section.count else ""
    table: list[Sequence[Cell]] = [(f"{section.title}{cut}", *section.heads), *shown]
    kept = _columns(section, table, width)
    widths = {column: max(_length(row[column]) for row in table) for column in kept}
    if kept:
        name = width - sum(widths[column] + len(GAP) for column in kept[1:])
        widths[0] = max(1, min(widths[0], name))
    found = [_line(row, kept, widths) for row in table]
    found[0].stylize("dim")
    return found


def _columns(section: Section, table: Sequence[Sequence[Cell]], width: int) -> list[int]:
    kept = list(range(1 + len(section.heads)))
    longest = max(_length(row[0]) for row in table)
    for column in section.first_to_go:
        others = sum(max(_length(row[one]) for row in table) + len(GAP) for one in kept[1:])
        if min(longest, MIN_NAME) + others <= width:
            break
        kept.remove(column)
    return kept


def _line(row: Sequence[Cell], kept: Sequence[int], widths: dict[int, int]) -> Text:
    line = Text(no_wrap=True, overflow="crop")
    for column in kept:
        text, style = _parts(row[column])
        if column:
            line.append(GAP + " " * (widths[column] - cell_len(text)))
            line.append(text, style)
        else:
            line.append(_clipped(text, widths[0]), style)
    return line


def _clipped(text: str, width: int) -> str:
    """Return `text` cut or padded to a width in columns."""
    if cell_len(text) <= width:
        return set_cell_size(text, width)
    return set_cell_size(text, width - 1) + "…"


def _length(cell: Cell) -> int:
    return cell_len(_parts(cell)[0])


def _parts(cell: Cell) -> tuple[str, str]:
    text, style = (cell, "") if isinstance(cell, str) else cell
    return printable(text), style
