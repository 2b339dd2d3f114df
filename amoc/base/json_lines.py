"""JSON Lines files that survive a kill of the writing process.

A line torn by a full disk is terminated before the next one.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path

from amoc.base.append_file import AppendFile
from amoc.base.errors import ResourceError, os_error_as
from amoc.base.json_plain import Json
from amoc.base.line_check import CRC, LINE, LineCheck, sealed


class LineFile(AppendFile):
    """Appends lines to a file.

    Attributes:
        lines: The number of lines passed to `write`, including lost ones.
    """

    def __init__(
        self,
        path: Path,
        what: str,
        warn: Callable[[str], None] = lambda _: None,
        *,
        seal: bool = False,
    ) -> None:
        """Create a file, or continue an existing one.

        Args:
            path: The file's path.
            what: Its name in messages.
            warn: Called once, with a message, if a line cannot be written.
            seal: Whether to add numbers and checksums, see `LineCheck`; for a new file only.

        Raises:
            ResourceError: The file cannot be created.
        """
        super().__init__(path, what, warn, "line")
        self.lines = 0
        self._seal = seal

    def write(self, entry: Mapping[str, object]) -> bool:
        """Append a line, if possible; `entry` must consist of JSON types.

        Returns:
            Whether it was written.
        """
        if self.closed:
            return False
        self.lines += 1
        text = json.dumps(entry, allow_nan=False, separators=(",", ":")).encode()
        line = sealed(text, self.lines) if self._seal else text + b"\n"
        return self.append(b"\n" + line if self.torn else line)


def read(
    path: Path, what: str, key: str, check: LineCheck | None = None
) -> Iterator[dict[str, Json]]:
    """Return the intact objects in a file, reading it line by line.

    Args:
        path: The file's path.
        what: Its name in messages.
        key: A key that each object must have.
        check: Given each line; has the problems of the file afterwards.

    Raises:
        ResourceError: It cannot be read.
    """
    check = check or LineCheck()
    for line in lines(path, what):
        if not check.take_line(line):
            continue
        entry = parse(line)
        if entry is not None and key in entry:
            yield {name: value for name, value in entry.items() if name not in (LINE, CRC)}
        elif line.endswith(b"\n"):
            check.damaged()


def lines(path: Path, what: str, size: int | None = None) -> Iterator[bytes]:
    """Return the lines of a file.

    Args:
        path: The file's path.
        what: Its name in messages.
        size: The number of bytes to read; None means all.

    Raises:
        ResourceError: It cannot be read.
    """
    left = float("inf") if size is None else size
    with os_error_as(ResourceError, f"{what} {path} cannot be read"), path.open("rb") as file:
        for line in file:
            left -= len(line)
            if left < 0:
                return
            yield line


def parse(line: bytes) -> dict[str, Json] | None:
    """Return the JSON object in `line`; None if it contains none."""
    try:
        entry = json.loads(line)
    except (ValueError, RecursionError):
        return None
    return entry if isinstance(entry, dict) else None
