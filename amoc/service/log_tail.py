"""The newest lines of a run's logs, of all its processes.

There may be hundreds of logs. So the loop turns meanwhile, a log is read from its end and only as
far back as its lines are among the newest, and who looks again reads on.
"""

from __future__ import annotations

import heapq
import os
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import IO

from amoc.base import json_lines
from amoc.base.json_plain import JsonObject

TAIL_BYTES = 256 << 10
"""How much of the end of each log is read by a look, at the most."""
MAX_LOGS = 2_000
_BLOCK = 8 << 10


class LogTail:
    """The newest lines of the logs in a directory."""

    def __init__(self, logs: Path, count: int, yield_if_due: Callable[[], None]) -> None:
        """Read nothing yet.

        Args:
            logs: The directory.
            count: How many lines.
            yield_if_due: Called often; it may let the loop turn.
        """
        self._logs, self._count, self._yield_if_due = logs, count, yield_if_due
        self._read: dict[str, int] = {}
        # A heap, the oldest first: when a line was written, which look has found it, after how many
        # others (negative, for logs are read backwards), and the line.
        self._newest: list[tuple[str, int, int, JsonObject]] = []
        self._looks = self._found = 0

    def look(self) -> bool:
        """Read on; whether that has found anything."""
        found = self._found
        self._looks += 1
        for name in self._names():
            self._yield_if_due()
            read = self._read.get(name, 0)
            try:
                if (path := self._logs / name).stat().st_size != read:
                    with path.open("rb") as file:
                        self._read[name] = self._read_on(file, read, path.stem)
            except OSError:  # deleted just now
                continue
        return self._found != found

    def lines(self) -> list[JsonObject]:
        """The newest lines that were found, in the order of their times.

        Each has, beside what the process wrote, `process`: the name of its log.
        """
        return [entry for *_, entry in sorted(self._newest)]

    def _names(self) -> list[str]:
        try:
            with os.scandir(self._logs) as there:  # `Path.glob` takes five times as long
                return sorted(one.name for one in there if one.name.endswith(".jsonl"))[:MAX_LOGS]
        except OSError:
            return []

    def _read_on(self, file: IO[bytes], read: int, process: str) -> int:
        """Take what is new in a log; up to where it has whole lines."""
        size = file.seek(0, 2)
        lines = _backwards(file, max(read if read <= size else 0, size - TAIL_BYTES), size)
        whole = size - len(next(lines))
        for line in lines:
            self._yield_if_due()
            if not self._take(line, process):
                break  # what comes before is older
        return whole

    def _take(self, line: bytes, process: str) -> bool:
        """Keep a line if it is one of the newest; whether one before it may be."""
        entry = json_lines.parse(line)
        if entry is None:
            return True
        at = str(entry.get("at", ""))
        if len(self._newest) == self._count and at < self._newest[0][0]:
            return False
        self._found += 1
        found = (at, self._looks, -self._found, {"process": process, **entry})
        if len(self._newest) < self._count:
            heapq.heappush(self._newest, found)
        else:
            heapq.heappushpop(self._newest, found)
        return True


def _backwards(file: IO[bytes], begin: int, end: int) -> Iterator[bytes]:
    """What is between line ends from `begin` to `end`, backwards.

    First what follows the last line end; at last what may be a part of a line.
    """
    rest = b""
    while end > begin:
        low = max(begin, end - _BLOCK)
        file.seek(low)
        rest, *lines = (file.read(end - low) + rest).split(b"\n")
        yield from reversed(lines)
        end = low
    yield rest
