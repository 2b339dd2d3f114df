"""A table of figures with the names of their rows, which loses nothing in a narrow window."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from rich.cells import cell_len
from rich.console import Console, ConsoleOptions, RenderResult
from rich.padding import PaddingDimensions
from rich.table import Column, Table
from rich.text import Text

NAME_WIDTH = 12
"""Width to which names may be wrapped."""


class NamedRows(Table):
    """A plain table: names on the left, and figures, right-aligned, that are never cut.

    In a narrow window names are wrapped. If the figures still do not fit, the last ones follow in
    tables of their own, each with the names again.
    """

    def __init__(self, name: str, *figures: str, padding: PaddingDimensions = (0, 1)):
        super().__init__(box=None, pad_edge=False, padding=padding, header_style="dim")
        self.add_column(name, overflow="fold")
        for column in figures:
            self.add_column(column, justify="right", no_wrap=True)

    def __rich_console__(self, console: Console, options: ConsoleOptions) -> RenderResult:
        """Yield the table, or several below each other."""
        name, *figures = self.columns
        _, right, _, left = self.padding
        widths = [_width(one) + left + right for one in figures]
        for several in _fitting(options.max_width, _width(name), widths):
            shown = [name, *figures[several]]
            part = NamedRows(*(str(one.header) for one in shown), padding=self.padding)
            for cells in zip(*(one.cells for one in shown), strict=True):
                part.add_row(*cells)
            yield from Table.__rich_console__(part, console, options)


def _width(column: Column) -> int:
    shown = (str(cell.plain if isinstance(cell, Text) else cell) for cell in column.cells)
    return max(map(cell_len, (str(column.header), *shown)))


def _fitting(width: int, name: int, figures: Sequence[int]) -> Iterator[slice]:
    """Yield which columns of figures to show next to each other.

    Args:
        width: Columns of the window.
        name: Width of the longest name.
        figures: Width of each column of figures, with the space before it.
    """
    begin, left = 0, width - min(name, NAME_WIDTH)
    for index, one in enumerate(figures):
        if left < one and index > begin:
            yield slice(begin, index)
            begin, left = index, width - min(name, NAME_WIDTH)
        left -= one
    yield slice(begin, len(figures))
