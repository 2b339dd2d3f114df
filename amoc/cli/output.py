"""Standard output and error that may fail, on a full disk or because a pipe's reader has exited.

Commands need not handle that. What cannot be written is dropped, and `main` reports it and sets the
exit code when the command is done.
"""

from __future__ import annotations

import io
import os
import sys
from typing import TYPE_CHECKING, TextIO

if TYPE_CHECKING:
    from _typeshed import ReadableBuffer

_failure = ""


def failure() -> str:
    """Return why standard output could not be written; empty if it could."""
    return _failure


def give_up(fd: int, error: OSError) -> None:
    """Discard all further output of `fd`, including buffered data, after a write raised `error`."""
    global _failure
    if fd == 1:
        _failure = _failure or error.strerror or str(error)
    nowhere = os.open(os.devnull, os.O_WRONLY)
    os.dup2(nowhere, fd)
    os.close(nowhere)


class _Unfailing(io.FileIO):
    """A file descriptor that discards output instead of raising."""

    def write(self, data: ReadableBuffer, /) -> int:
        try:
            return super().write(data)
        except BlockingIOError:
            raise
        except OSError as error:
            give_up(self.fileno(), error)
            return len(memoryview(data))


def open_streams() -> None:
    """Reopen streams that cron or a daemon has closed, so that no socket takes their place."""
    for fd, name in enumerate(("stdin", "stdout", "stderr")):
        if getattr(sys, name) is None:
            nowhere = os.open(os.devnull, os.O_RDWR)
            if nowhere != fd:
                os.dup2(nowhere, fd)
            mode = "w" if fd else "r"
            setattr(sys, name, open(fd, mode, closefd=False))  # noqa: SIM115
    sys.stdout, sys.stderr = _unfailing(sys.stdout), _unfailing(sys.stderr)


def _unfailing(stream: TextIO) -> TextIO:
    """Return `stream` with failed writes dropped; unchanged if it is not a file descriptor."""
    try:
        raw = _Unfailing(stream.fileno(), "w", closefd=False)
    except io.UnsupportedOperation:
        return stream
    # Lines are flushed when printed, also to a pipe or a file.
    return io.TextIOWrapper(
        io.BufferedWriter(raw), stream.encoding, stream.errors, line_buffering=True
    )
