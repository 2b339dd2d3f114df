"""Append-only files that lose nothing when the writing process is killed.

Each record is passed to the operating system at once, in a single write. There is no fsync, so a
power failure may lose the last seconds. A full disk loses records but does not end the run: it is
reported once, and lost records are counted.
"""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path

from amoc.base.errors import ResourceError, os_error_as
from amoc.base.text import counted

_DELETED = "it was deleted during the run"


class AppendFile:
    """Appends records to a file.

    Attributes:
        name: Its name in messages, with the path.
        lost: Records lost since the last one that was written.
        torn: Whether the file ends with a partial record.
        size: The file's size in bytes.
        closed: Whether it has been closed.
    """

    def __init__(
        self, path: Path, what: str, warn: Callable[[str], None], record: str = "record"
    ) -> None:
        """Create a file, or continue an existing one.

        Args:
            path: The file's path.
            what: Its name in messages.
            warn: Called once, with a message, if a record cannot be written.
            record: The word for a record in messages.

        Raises:
            ResourceError: The file cannot be created.
        """
        self.lost = self._lost_in_all = 0
        self.torn = self.closed = False
        self.name = f"{what} {path}"
        self._trouble = ""
        self._warn = warn
        self._record = record
        with os_error_as(ResourceError, f"{self.name} cannot be created"):
            self._fd = os.open(path, os.O_WRONLY | os.O_APPEND | os.O_CREAT | os.O_CLOEXEC, 0o600)
        self.size = os.fstat(self._fd).st_size

    def append(self, data: bytes) -> bool:
        """Append a record, if possible; return whether it was written."""
        if self.closed:
            return False
        try:
            if self._deleted():
                return self._fail(_DELETED)
            written = os.write(self._fd, data)
        except OSError as error:
            return self._fail(error.strerror or str(error))
        self.size += written
        self.torn = written < len(data)
        if self.torn:
            return self._fail(f"no space left for the whole {self._record}")
        self.lost = 0
        return True

    def _deleted(self) -> bool:
        """Return whether the file has been unlinked, so that it vanishes when closed."""
        return not os.fstat(self._fd).st_nlink

    def _fail(self, why: str) -> bool:
        self.lost += 1
        self._lost_in_all += 1
        if not self._trouble:
            self._trouble = why
            self._warn(f"{self.name} cannot be written: {why}; the run continues without it")
        return False

    @property
    def missing(self) -> str:
        """A clause on the records missing in the file, and why; empty if none are."""
        if self._trouble == _DELETED or not self._trouble:
            return self._trouble
        return f"{counted(self._lost_in_all, self._record)} could not be written: {self._trouble}"

    def close(self) -> None:
        """Close the file."""
        if not self.closed:
            if self._deleted() and not self._trouble:
                self._trouble = _DELETED
            os.close(self._fd)
            self.closed = True
