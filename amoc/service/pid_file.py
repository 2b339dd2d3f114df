"""The pid file: which server serves a directory of runs, and at which URL.

The server holds a lock on the file while it lives. So the file of a killed server is known to be
stale, and a second server for the same directory does not start.
"""

from __future__ import annotations

import fcntl
import os
from pathlib import Path
from typing import NamedTuple

from amoc.base.errors import ResourceError, UsageError, os_error_as
from amoc.base.polling import poll

_NAME = ".daemon"
LOCK_WAIT_S = 1.0
"""How long others may hold the lock while they check whether a server has it, as `read` does."""
POLL_S = 0.01


class Serving(NamedTuple):
    """A running server."""

    pid: int
    url: str


def path_in(runs: Path) -> Path:
    """Return the path of the pid file of a directory of runs."""
    return runs / _NAME


def log_in(runs: Path) -> Path:
    """Return the path of the log of a background server."""
    return runs / f"{_NAME}.log"


def read(runs: Path) -> Serving | None:
    """Return the server of a directory of runs; None if there is none that listens yet.

    Raises:
        ResourceError: The file cannot be read.
    """
    try:
        with path_in(runs).open() as file:
            try:
                fcntl.flock(file, fcntl.LOCK_SH | fcntl.LOCK_NB)
            except BlockingIOError:
                pid, _, url = file.read().strip().partition(" ")
                return Serving(int(pid), url) if url else None
            return None
    except FileNotFoundError:
        return None
    except OSError as error:
        raise ResourceError(f"{path_in(runs)} cannot be read: {error.strerror}") from None


def already_running(runs: Path, found: Serving | None) -> UsageError:
    """Return the error that a server for `runs` exists, which `read` has found, if it could."""
    where = f" at {found.url} (process {found.pid})" if found is not None else ""
    return UsageError(f"a server for {runs} is already running{where}")


class PidFile:
    """The pid file of this process."""

    def __init__(self, runs: Path) -> None:
        """Take the lock.

        Raises:
            UsageError: Another server has it.
            ResourceError: The file cannot be written.
        """
        path = path_in(runs)
        with os_error_as(ResourceError, f"{path} cannot be written"):
            runs.mkdir(parents=True, exist_ok=True)
            self._fd = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        if not poll(self._lock, LOCK_WAIT_S, POLL_S):
            found = read(runs)
            os.close(self._fd)
            raise already_running(runs, found)
        os.ftruncate(self._fd, 0)

    def _lock(self) -> bool:
        try:
            fcntl.flock(self._fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            return False
        return True

    def write(self, url: str) -> None:
        """Record the URL at which this process listens."""
        os.pwrite(self._fd, f"{os.getpid()} {url}\n".encode(), 0)

    def close(self) -> None:
        """Release the lock. The file stays: removing it would race with the next server."""
        os.ftruncate(self._fd, 0)
        os.close(self._fd)
