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


class LineFile:
    """Appends lines to a file.

    Attributes:
        name: What messages call it, with its path.
        lost: Lines that could not be written since the last one that could.
        lost_in_all: All lines that could not be written.
        size: Bytes in the file.
    """

    def __init__(
        self, path: Path, what: str, on_trouble: Callable[[str], None] = lambda _: None
    ) -> None:
        """Begin a new file, or go on with it.

        Args:
            path: Of the file.
            what: Its name in messages.
            on_trouble: Called once, with a message, when a line cannot be written.

        Raises:
            ResourceError: The file cannot be created.
        """
        self.lost = self.lost_in_all = 0
        self.name = f"{what} {path}"
        self._on_trouble = on_trouble
        self._told = False
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
        line = json.dumps(entry, allow_nan=False, separators=(",", ":")).encode() + b"\n"
        data = b"\n" + line if self._torn else line
        try:
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

    def _fail(self, why: str) -> bool:
        self.lost += 1
        self.lost_in_all += 1
        if not self._told:
            self._told = True
            self._on_trouble(f"{self.name} cannot be written: {why}; the run goes on without it")
        return False

    def close(self) -> None:
        """Write no more."""
        if self._fd >= 0:
            os.close(self._fd)
            self._fd = -1


def read(
    path: Path,
    what: str,
    key: str,
    on_torn: Callable[[int], None] = lambda _: None,
    prepare: Callable[[bytes], bytes] = lambda line: line,
    size: int | None = None,
) -> Iterator[dict[str, Any]]:
    """The objects in a file, as far as they were written; one line is held at a time.

    Args:
        path: Of the file.
        what: Its name in messages.
        key: A key that each object must have.
        on_torn: Called with the number, from 1, of each invalid line; not for the last line of a
            run that was killed while it wrote.
        prepare: Applied to a line before it is parsed.
        size: How many bytes of the file to read; None means all.

    Raises:
        ResourceError: It cannot be read.
    """
    left = float("inf") if size is None else size
    try:
        with path.open("rb") as file:
            for number, line in enumerate(file, 1):
                left -= len(line)
                if left < 0:
                    return
                entry = parse(prepare(line))
                if entry is not None and key in entry:
                    yield entry
                elif line.strip() and line.endswith(b"\n"):
                    on_torn(number)
    except OSError as error:
        raise ResourceError(f"{what} {path} cannot be read: {error.strerror}") from None


def parse(line: bytes) -> dict[str, Any] | None:
    """The object in `line`; None if there is none."""
    try:
        entry = json.loads(line)
    except (ValueError, RecursionError):
        return None
    return entry if isinstance(entry, dict) else None
