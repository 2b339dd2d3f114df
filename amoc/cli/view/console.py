"""Standard output: a terminal, a pipe, a file, or something that has been closed meanwhile."""

from __future__ import annotations

import os
import select
import sys
from collections.abc import Iterable, Sequence
from typing import TextIO, cast

from gevent import get_hub, getcurrent
from gevent import socket as gsocket
from rich.console import Console, ConsoleOptions, RenderableType
from rich.segment import Segment
from rich.table import Table
from rich.text import Text

from amoc.cli.output import give_up

PLAIN_WIDTH = 10_000
"""Columns where there is no terminal: no line is wrapped, so that output can be searched."""
PATIENCE_S = 2.0
"""How long a write waits for the reader."""


class _Patient:
    """A stream that neither breaks nor blocks the run.

    When the reader is gone, output is discarded. When it does not read for a while (a stopped
    terminal, a pager, a slow pipe), a write waits for `PATIENCE_S` while the run goes on, and then
    drops what does not fit until there is room again.
    """

    def __init__(self, stream: TextIO) -> None:
        self._stream = stream
        self._stalled = False

    def write(self, text: str) -> int:
        """Write `text`, or drop what does not fit."""
        stream = self._stream
        data = text.encode(stream.encoding, "backslashreplace")
        try:
            for start in range(0, len(data), select.PIPE_BUF):
                if not self._has_room():
                    break
                os.write(stream.fileno(), data[start : start + select.PIPE_BUF])
        except OSError as error:
            give_up(stream.fileno(), error)
        return len(text)

    def _has_room(self) -> bool:
        """Whether `PIPE_BUF` bytes can be written without blocking."""
        poll = select.poll()
        poll.register(self._stream.fileno(), select.POLLOUT)
        if not poll.poll(0):
            if self._stalled or getcurrent() is get_hub():
                return False  # a callback of the loop cannot wait
            try:
                gsocket.wait_write(self._stream.fileno(), timeout=PATIENCE_S)
            except gsocket.timeout:
                self._stalled = True
                return False
        self._stalled = False
        return True

    def flush(self) -> None:
        """There is nothing to flush: output is not buffered."""

    def isatty(self) -> bool:
        """Whether it is, or was, a terminal."""
        return self._stream.isatty()

    def fileno(self) -> int:
        """The descriptor."""
        return self._stream.fileno()

    @property
    def encoding(self) -> str:
        """The encoding of what is written."""
        return self._stream.encoding


_CONTROLS = {ord(one): None for one in map(chr, (*range(0x20), *range(0x7F, 0xA0))) if one != "\n"}
"""C0, delete and C1; rich has made spaces of tabs and styles of the sequences it knows by then."""


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
                yield segment._replace(text=segment.text.translate(_CONTROLS))


def console(patient: bool = True, stream: TextIO | None = None) -> SafeConsole:
    """The console on standard output, or on another `stream`.

    FORCE_COLOR, common in CI, does not make it a terminal: that would bring tables that refresh.

    Args:
        patient: Whether output may be dropped rather than wait for the reader; must be False where
            the standard library is patched.
        stream: Where to.
    """
    stream = stream or sys.stdout
    stream.flush()  # from here on it is written to directly
    stream.reconfigure(errors="backslashreplace")  # type: ignore[union-attr]
    file = cast("TextIO", _Patient(stream)) if patient else stream
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
