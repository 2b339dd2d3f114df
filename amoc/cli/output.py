"""Standard output and error that may fail: on a full disk, or when the reader of a pipe is gone.

No command has to care: what cannot be written is dropped, and `main` says so and sets the exit code
when the command is done.
"""

from __future__ import annotations

import io
import os
import sys
from typing import TextIO

_failure = ""


def failure() -> str:
    """Why standard output could not be written; empty if it could."""
    return _failure


def give_up(fd: int, error: OSError) -> None:
    """Write to nowhere from now on, also what is still buffered: `error` has come of writing."""
    global _failure
    if fd == 1:
        _failure = _failure or error.strerror or str(error)
    nowhere = os.open(os.devnull, os.O_WRONLY)
    os.dup2(nowhere, fd)
    os.close(nowhere)


class _Unfailing(io.FileIO):
    """A file descriptor that gives up instead of raising."""

    def write(self, data: object) -> int:
        try:
            return super().write(data)  # type: ignore[arg-type]
        except BlockingIOError:
            raise
        except OSError as error:
            give_up(self.fileno(), error)
            return len(memoryview(data))  # type: ignore[arg-type]


def open_streams() -> None:
    """Open all three where cron or a daemon has closed them; no socket may take their place."""
    for fd, name in enumerate(("stdin", "stdout", "stderr")):
        if getattr(sys, name) is None:
            nowhere = os.open(os.devnull, os.O_RDWR)
            if nowhere != fd:
                os.dup2(nowhere, fd)
            mode = "w" if fd else "r"
            setattr(sys, name, open(fd, mode, closefd=False))  # noqa: SIM115
    sys.stdout, sys.stderr = _unfailing(sys.stdout), _unfailing(sys.stderr)


def _unfailing(stream: TextIO) -> TextIO:
    """`stream`, but what cannot be written is dropped; others than descriptors stay as they are."""
    try:
        raw = _Unfailing(stream.fileno(), "w", closefd=False)
    except io.UnsupportedOperation:
        return stream
    # A line is written when it is printed, also to a pipe or a file.
    return io.TextIOWrapper(
        io.BufferedWriter(raw), stream.encoding, stream.errors, line_buffering=True
    )
