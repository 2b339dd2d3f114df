"""Files of the kernel that are read repeatedly, such as ``/proc/stat``, and kept open.

Opening one costs more than reading it, and a load test may run out of descriptors later.
"""

from __future__ import annotations

import os
from pathlib import Path

_AT_ONCE = 1 << 16


class ProcFile:
    """A kernel file whose content changes with each read."""

    def __init__(self, path: str | Path, in_one_piece: bool = False) -> None:
        """Read `path`.

        Args:
            path: The file.
            in_one_piece: Whether the kernel returns as much of it as is asked for, as for all files
                about a whole process or host, but not for lists such as of mappings or connections.
        """
        self._path = path
        self._fd = -1
        self._short = _AT_ONCE if in_one_piece else 0

    def __del__(self) -> None:
        if self._fd >= 0:
            os.close(self._fd)

    def read(self) -> bytes:
        """Return its current content; empty if it cannot be read."""
        try:
            if self._fd < 0:
                self._fd = os.open(self._path, os.O_RDONLY | os.O_CLOEXEC)
            found = os.pread(self._fd, _AT_ONCE, 0)
            # Of a list the kernel may return a short read at any time; only an empty one ends it.
            more = found
            while len(more) >= self._short and (more := os.pread(self._fd, _AT_ONCE, len(found))):
                found += more
        except OSError:
            return b""
        return found


class ProcFiles:
    """Any number of kernel files that are read in one piece, by path."""

    def __init__(self) -> None:
        self._files: dict[str, ProcFile] = {}

    def read(self, path: str) -> bytes:
        """Return the current content of `path`; empty if it cannot be read."""
        file = self._files.get(path)
        if file is None:
            file = self._files[path] = ProcFile(path, in_one_piece=True)
        return file.read()
