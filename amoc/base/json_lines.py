"""Files of JSON lines, of which a process that is killed loses none.

A line is appended with one write to the file. A full disk costs lines, not the run: it is reported
once, lost lines are counted, and a line that was torn is ended before the next one.
"""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

from amoc.base.errors import ResourceError
from amoc.base.line_check import CRC, LINE, LineCheck, sealed
from amoc.base.text import counted

_DELETED = "it was deleted during the run"


class LineFile:
    """Appends lines to a file.

    Attributes:
        name: What messages call it, with its path.
        lines: Lines that were to be written.
        lost: Lines that could not be written since the last one that could.
        size: Bytes in the file.
    """

    def __init__(
        self,
        path: Path,
        what: str,
        warn: Callable[[str], None] = lambda _: None,
        *,
        seal: bool = False,
    ) -> None:
        """Begin a new file, or go on with it.

        Args:
            path: Of the file.
            what: Its name in messages.
            warn: Called once, with a message, when a line cannot be written.
            seal: Whether lines have a number and a checksum, see `LineCheck`; for a new file.

        Raises:
            ResourceError: The file cannot be created.
        """
        self.lines = self.lost = self._lost_in_all = 0
        self._trouble = ""
        self.name = f"{what} {path}"
        self._warn = warn
        self._seal = seal
        self._torn = False
        try:
            self._fd = os.open(path, os.O_WRONLY | os.O_APPEND | os.O_CREAT | os.O_CLOEXEC, 0o600)
        except OSError as error:
            raise ResourceError(f"{self.name} cannot be created: {error.strerror}") from None
        self.size = os.fstat(self._fd).st_size

    def append(self, entry: Mapping[str, object]) -> bool:
        """Append a line, if possible; `entry` has only types that JSON knows.

        Returns:
            Whether it was written.
        """
        if self._fd < 0:
            return False
        self.lines += 1
        text = json.dumps(entry, allow_nan=False, separators=(",", ":")).encode()
        line = sealed(text, self.lines) if self._seal else text + b"\n"
        data = b"\n" + line if self._torn else line
        try:
            if self._deleted():
                return self._fail(_DELETED)
            written = os.write(self._fd, data)
        except OSError as error:
            return self._fail(error.strerror or str(error))
        self.size += written
        if written < len(data):
            self._torn = True
            return self._fail("no space left for the whole line")
        self._torn = False
        self.lost = 0
        return True

    def _deleted(self) -> bool:
        """Whether what is written now is gone when the file is closed."""
        return not os.fstat(self._fd).st_nlink

    def _fail(self, why: str) -> bool:
        self.lost += 1
        self._lost_in_all += 1
        if not self._trouble:
            self._trouble = why
            self._warn(f"{self.name} cannot be written: {why}; the run goes on without it")
        return False

    @property
    def missing(self) -> str:
        """Which lines are missing in the file, and why; empty if none are."""
        if self._trouble == _DELETED or not self._trouble:
            return self._trouble
        return f"{counted(self._lost_in_all, 'line')} could not be written: {self._trouble}"

    def close(self) -> None:
        """Write no more."""
        if self._fd >= 0:
            if self._deleted() and not self._trouble:
                self._trouble = _DELETED
            os.close(self._fd)
            self._fd = -1


def read(
    path: Path, what: str, key: str, check: LineCheck | None = None
) -> Iterator[dict[str, Any]]:
    """The objects in a file, as far as they were written; one line is held at a time.

    Args:
        path: Of the file.
        what: Its name in messages.
        key: A key that each object must have.
        check: Told of each line; knows afterwards what is wrong with the file.

    Raises:
        ResourceError: It cannot be read.
    """
    check = check or LineCheck()
    for line in lines(path, what):
        if not check.take(line):
            continue
        entry = parse(line)
        if entry is not None and key in entry:
            yield {name: value for name, value in entry.items() if name not in (LINE, CRC)}
        elif line.endswith(b"\n"):
            check.damaged()


def lines(path: Path, what: str, size: int | None = None) -> Iterator[bytes]:
    """The lines of a file.

    Args:
        path: Of the file.
        what: Its name in messages.
        size: How many bytes of the file to read; None means all.

    Raises:
        ResourceError: It cannot be read.
    """
    left = float("inf") if size is None else size
    try:
        with path.open("rb") as file:
            for line in file:
                left -= len(line)
                if left < 0:
                    return
                yield line
    except OSError as error:
        raise ResourceError(f"{what} {path} cannot be read: {error.strerror}") from None


def parse(line: bytes) -> dict[str, Any] | None:
    """The object in `line`; None if there is none."""
    try:
        entry = json.loads(line)
    except (ValueError, RecursionError):
        return None
    return entry if isinstance(entry, dict) else None
