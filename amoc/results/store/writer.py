"""Writes the seconds of a run to its directory, each as soon as it is complete.

A second with hundreds of timers takes some milliseconds to write, so it is written in pieces.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

from amoc.base.append_file import AppendFile
from amoc.results.series import Point
from amoc.results.store import records, second
from amoc.results.store.blocks import AT_ONCE, BlockMaker, block_of
from amoc.results.store.packed import pack


class SeriesWriter:
    """Writes a series file.

    Attributes:
        records: How many records there should be in the file.
    """

    def __init__(self, path: Path, warn: Callable[[str], None] = lambda _: None) -> None:
        """Create a new file.

        Args:
            path: The file to create.
            warn: Called once, with a message, when a second cannot be written.

        Raises:
            ResourceError: The file cannot be created.
        """
        self.records = 0
        self._file = AppendFile(path, "series", warn)
        self._minute = -1
        self._block = BlockMaker()
        self._key, self._dictionary = 0, b""

    @property
    def missing(self) -> str:
        """What is missing from the file, and why; empty if nothing is."""
        return self._file.missing

    def write(self, point: Point) -> None:
        """Write a second, if possible."""
        for _ in self.pieces(point):
            pass

    def pieces(self, point: Point) -> Iterator[None]:
        """Write a second in pieces of a millisecond or two; it is complete after the last one.

        The last second of a minute is followed by the minute's block.
        """
        if (minute := block_of(point)) != self._minute:
            yield from self._block_pieces()
            self._minute, self._block = minute, BlockMaker()
            self._key, self._dictionary = 0, b""
        groups = []
        for group in pack(point.timers):
            groups.append(group)
            yield
        facts = second.facts_of(point, point.timers)
        written = self._append(second.SECOND, self._body(facts, groups))
        if written and not self._key:
            self._key, self._dictionary = self.records, facts
        yield
        self._block.add(point, self.records if written else 0)
        yield from self._block.add_up(AT_ONCE)

    def _block_pieces(self) -> Iterator[None]:
        """Write the block of the minute that has ended."""
        yield from self._block.add_up()
        if not self._block.worthwhile:
            return
        names: list[str] = []
        groups = []
        for some, group in self._block.groups():
            names += some
            groups.append(group)
            yield
        facts = second.facts_of(self._block.stretch(), names)
        self._append(second.BLOCK, self._block.span + self._body(facts, groups))
        yield

    def _body(self, facts: bytes, groups: Sequence[bytes]) -> bytes:
        return second.body(facts, self._key, self._dictionary, b"".join(groups))

    def _append(self, kind: int, body: bytes) -> bool:
        self.records += 1
        return self._file.append(records.sealed(kind, self.records, body))

    def close(self) -> None:
        """Close the file; write nothing more."""
        self._file.close()
