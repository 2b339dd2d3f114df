"""Writes the seconds of a run to its directory, each as soon as it is known.

A second of a run with hundreds of timers takes some milliseconds, so it is written in pieces.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

from amoc.base.append_file import AppendFile
from amoc.results.series import Point
from amoc.results.store import records, second

BLOCK_S = 60.0
"""Seconds with one key."""


class SeriesWriter:
    """Writes a file of seconds.

    Attributes:
        records: How many records were to be written.
    """

    def __init__(self, path: Path, warn: Callable[[str], None] = lambda _: None) -> None:
        """Begin a new file.

        Args:
            path: Where it is to be.
            warn: Called once, with a message, when a second cannot be written.

        Raises:
            ResourceError: The file cannot be created.
        """
        self.records = 0
        self._file = AppendFile(path, "series", warn)
        self._block = -1
        self._key, self._dictionary = 0, b""

    @property
    def missing(self) -> str:
        """What is missing in the file, and why; empty if nothing is."""
        return self._file.missing

    def write(self, point: Point) -> None:
        """Write a second, if possible."""
        for _ in self.pieces(point):
            pass

    def pieces(self, point: Point) -> Iterator[None]:
        """Write a second in pieces of a millisecond or two; it is there when they are through."""
        if (block := block_of(point)) != self._block:
            self._block, self._key, self._dictionary = block, 0, b""
        facts = second.facts_of(point)
        groups = []
        for group in second.timers_of(point):
            groups.append(group)
            yield
        body = second.body(facts, self._key, self._dictionary, b"".join(groups))
        if self._append(second.SECOND, body) and not self._key:
            self._key, self._dictionary = self.records, facts

    def _append(self, kind: int, body: bytes) -> bool:
        self.records += 1
        return self._file.append(records.sealed(kind, self.records, body))

    def close(self) -> None:
        """Write no more."""
        self._file.close()


def block_of(point: Point) -> int:
    """The number of the minute that most of a second lies in."""
    return int((point.t_s - point.span_s / 2) // BLOCK_S)
