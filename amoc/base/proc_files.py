"""Files of the kernel that are read again and again, ``/proc/stat`` say: kept open.

To open one costs more than to read it, and later there may be no descriptor left: a load test runs
out of them.
"""

from __future__ import annotations

import os
from pathlib import Path

_AT_ONCE = 1 << 16


class ProcFile:
    """A file that holds something else each time."""

    def __init__(self, path: str | Path) -> None:
        self._path = path
        self._fd = -1

    def __del__(self) -> None:
        if self._fd >= 0:
            os.close(self._fd)

    def read(self) -> bytes:
        """What it holds now; nothing where it cannot be read."""
        try:
            if self._fd < 0:
                self._fd = os.open(self._path, os.O_RDONLY | os.O_CLOEXEC)
            found = os.pread(self._fd, _AT_ONCE, 0)
            # The kernel may end a piece anywhere; only an empty one says that there is no more.
            while more := os.pread(self._fd, _AT_ONCE, len(found)):
                found += more
        except OSError:
            return b""
        return found


class ProcFiles:
    """Any number of them, by path."""

    def __init__(self) -> None:
        self._files: dict[str, ProcFile] = {}

    def read(self, path: str) -> bytes:
        """What `path` holds now; nothing where it cannot be read."""
        file = self._files.get(path)
        if file is None:
            file = self._files[path] = ProcFile(path)
        return file.read()
