"""Consoles: what they print cannot control the terminal, and is whole where there is none."""

from __future__ import annotations

import sys
from collections.abc import Iterable, Sequence
from typing import TextIO

from rich.console import Console, ConsoleOptions, RenderableType
from rich.segment import Segment
from rich.table import Table
from rich.text import Text

from amoc.cli.view.stream import CONTROLS, prepared

PLAIN_WIDTH = 10_000
"""Columns where there is no terminal: no line is wrapped, so that output can be searched."""


class SafeConsole(Console):
    """A console on which no text, wherever it comes from, can control the terminal."""

    def render(
        self, renderable: RenderableType, options: ConsoleOptions | None = None
    ) -> Iterable[Segment]:
        """The segments of `renderable`, their text without control characters."""
        for segment in super().render(renderable, options):
            if segment.control or segment.text.isprintable():
                yield segment
            else:
                yield segment._replace(text=segment.text.translate(CONTROLS))


def console(patient: bool = True, stream: TextIO | None = None) -> SafeConsole:
    """The console on standard output, or on another `stream`.

    FORCE_COLOR, common in CI, does not make it a terminal: that would bring tables that refresh.

    Args:
        patient: See `amoc.cli.view.stream.prepared`.
        stream: Where to.
    """
    stream = stream or sys.stdout
    file = prepared(stream, patient)
    if stream.isatty():
        return SafeConsole(file=file, emoji=False)
    return SafeConsole(file=file, emoji=False, width=PLAIN_WIDTH, force_terminal=False)


def table(*columns: str, rows: Iterable[Sequence[str | Text]] = (), right: int = 2) -> Table:
    """A plain table; a cell that is too long is folded.

    Args:
        columns: Their headings.
        rows: Cells of its rows.
        right: Blanks after each column.
    """
    made = Table(box=None, pad_edge=False, padding=(0, right, 0, 0), header_style="dim")
    for column in columns:
        made.add_column(column, overflow="fold")
    for row in rows:
        made.add_row(*(Text(cell) if isinstance(cell, str) else cell for cell in row))
    return made


def verdict_colour(verdict: str) -> str:
    """The colour of a verdict; empty for one that judges nothing."""
    if verdict == "no criteria":
        return ""
    return "green" if verdict in ("ok", "stopped") else "red"
