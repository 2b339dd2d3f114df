"""Where people read: a terminal, a pipe, a file, or something that has been closed meanwhile."""

from __future__ import annotations

import os
import sys
from typing import TextIO, cast

from rich.console import Console

PLAIN_WIDTH = 160
"""Columns where there is no terminal: tables are not squeezed."""


class _Patient:
    """A stream that goes on when nobody reads it any more: a run is worth more than its view."""

    def __init__(self, stream: TextIO) -> None:
        self._stream = stream

    def write(self, text: str) -> int:
        """Write, or not."""
        try:
            return self._stream.write(text)
        except OSError:
            self._give_up()
            return len(text)

    def flush(self) -> None:
        """Flush, or not."""
        try:
            self._stream.flush()
        except OSError:
            self._give_up()

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

    def _give_up(self) -> None:
        # What is still buffered must go somewhere, or it fails again when the process ends.
        nowhere = os.open(os.devnull, os.O_WRONLY)
        os.dup2(nowhere, self._stream.fileno())
        os.close(nowhere)


def console() -> Console:
    """The console on standard output."""
    # A name or an error's text may hold what the terminal's encoding does not.
    sys.stdout.reconfigure(errors="backslashreplace")  # type: ignore[union-attr]
    stream = cast("TextIO", _Patient(sys.stdout))
    return Console(file=stream) if sys.stdout.isatty() else Console(file=stream, width=PLAIN_WIDTH)
