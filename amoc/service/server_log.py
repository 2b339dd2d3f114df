"""The log of a background server, with a size limit.

It is the standard output and error of the process, so it includes everything that is printed. The
process rotates the file itself, and keeps one old file.
"""

from __future__ import annotations

import logging
import os
import sys
from pathlib import Path

MAX_BYTES = 16 << 20


class Handler(logging.StreamHandler):  # type: ignore[type-arg]  # not generic at run time
    """Writes to standard error. Starts a new file if that is `log` and has become too large."""

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
        except OSError:  # not a file, or it was moved: continue as before
            return


def _begin_anew(log: Path) -> None:
    log.replace(log.with_name(f"{log.name}.1"))
    new = open_new(log)
    for stream in (sys.stdout, sys.stderr):
        stream.flush()
        os.dup2(new, stream.fileno())
    os.close(new)


def open_new(log: Path) -> int:
    """Open the log for appending, readable by its owner only. Return the file descriptor.

    Raises:
        OSError: It cannot be written.
    """
    return os.open(log, os.O_WRONLY | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC, 0o600)
