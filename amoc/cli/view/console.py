"""Consoles: output cannot control the terminal, and is complete without one."""

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
"""Width without a terminal: no line is wrapped, so that output can be searched."""


class SafeConsole(Console):
    """A console on which no text, whatever its source, can control the terminal."""

    def render(
        self, renderable: RenderableType, options: ConsoleOptions | None = None
    ) -> Iterable[Segment]:
        """Yield the segments of `renderable`, without control characters in their text."""
        for segment in super().render(renderable, options):
            if segment.control or segment.text.isprintable():
                yield segment
            else:
                yield segment._replace(text=segment.text.translate(CONTROLS))


def console(patient: bool = True, stream: TextIO | None = None) -> SafeConsole:
    """Return a console for standard output, or for another `stream`.

    FORCE_COLOR, which is common in CI, does not turn it into a terminal with live tables.

    Args:
        patient: See `amoc.cli.view.stream.prepared`.
        stream: The stream to write to.
    """
    stream = stream or sys.stdout
    file = prepared(stream, patient)
    if stream.isatty():
        return SafeConsole(file=file, emoji=False)
    return SafeConsole(file=file, emoji=False, width=PLAIN_WIDTH, force_terminal=False)


def table(*columns: str, rows: Iterable[Sequence[str | Text]] = (), right: int = 2) -> Table:
    """Return a plain table. Long cells are folded.

    Args:
        columns: Headings of the columns.
        rows: Cells of each row.
        right: Padding after each column.
    """
    made = Table(box=None, pad_edge=False, padding=(0, right, 0, 0), header_style="dim")
    for column in columns:
        made.add_column(column, overflow="fold")
    for row in rows:
        made.add_row(*(Text(cell) if isinstance(cell, str) else cell for cell in row))
    return made


def verdict_colour(verdict: str) -> str:
    """Return the colour of a verdict; empty for a verdict without judgement."""
    if verdict == "no criteria":
        return ""
    return "green" if verdict in ("ok", "stopped") else "red"
