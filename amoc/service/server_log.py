"""The log of a server in the background, which does not grow without end.

It is what the process writes to its standard output and error, so whatever is printed there is in
it. The process itself begins a new file, and keeps the one before.
"""

from __future__ import annotations

import logging
import os
import sys
from pathlib import Path

MAX_BYTES = 16 << 20


class Handler(logging.StreamHandler):  # type: ignore[type-arg]  # at run time it has no parameters
    """Writes to standard error; begins a new file when that is `log` and has become too large."""

    def __init__(self, log: Path) -> None:
        super().__init__(sys.stderr)
        self._log = log

    def emit(self, record: logging.LogRecord) -> None:
        """Write a line."""
        super().emit(record)
        try:
            now = os.fstat(sys.stderr.fileno())
            if now.st_size > MAX_BYTES and os.path.samestat(now, self._log.stat()):
                _begin_anew(self._log)
        except OSError:  # it is no file, or was moved: as before
            return


def _begin_anew(log: Path) -> None:
    log.replace(log.with_name(f"{log.name}.1"))
    new = open_new(log)
    for stream in (sys.stdout, sys.stderr):
        stream.flush()
        os.dup2(new, stream.fileno())
    os.close(new)


def open_new(log: Path) -> int:
    """A descriptor that appends to the log, which only its owner can read.

    Raises:
        OSError: It cannot be written.
    """
    return os.open(log, os.O_WRONLY | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC, 0o600)
