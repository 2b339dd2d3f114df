"""Reads the seconds of a run back from its directory.

All records are checked when a file is opened. Each iteration reads the seconds again and holds one
at a time. Records appended later are included after `grow`.
"""

from __future__ import annotations

from array import array
from bisect import bisect_left, bisect_right
from collections.abc import Callable, Collection, Iterator
from pathlib import Path
from typing import BinaryIO, NamedTuple, TypeVar

from amoc.base.errors import ResourceError, os_error_as
from amoc.base.line_check import RecordCheck
from amoc.results.series import Point
from amoc.results.store import blocks, records, second
from amoc.results.stretch import Stretch

P = TypeVar("P", bound=Point)
Fine = Callable[[Point], bool]
"""Whether a stretch must be split into seconds."""


class _Block(NamedTuple):
    seconds: int
    at: int
    length: int


class StoredSeries(Collection[Point]):
    """The points in a file written by a `SeriesWriter`, in order; damaged ones are left out.

    Attributes:
        problems: What is wrong with the file, one sentence each.
    """

    def __init__(self, path: Path, written: int | None = None) -> None:
        """Index the points currently in `path`.

        Args:
            path: The file.
            written: How many records the run has written, if known.

        Raises:
            ResourceError: The file cannot be read.
        """
        self._path = path
        self._numbers, self._at, self._length = array("L"), array("Q"), array("L")
        self._key, self._key_facts = 0, b""
        self._keys: dict[int, tuple[int, int]] = {0: (0, 0)}
        self._blocks: dict[int, _Block] = {}
        self._end = 0
        self._check = RecordCheck()
        self.grow()
        self.problems = self._check.problems(written)

    def grow(self) -> None:
        """Index the records appended since; one that is being written is left for later.

        Raises:
            ResourceError: The file cannot be read.
        """
        with self._open() as file:
            for record in records.read(file, file.seek(0, 2), self._end):
                if self._check.take(record.number if record is not None else None):
                    assert record is not None
                    self._take(record, self._check)
                if record is not None:
                    self._end = record.at + len(record.body)

    def _take(self, record: records.Record, check: RecordCheck) -> None:
        """Index a record, if it can be read."""
        if record.kind == second.BLOCK:
            self._take_block(record)
            return
        key = second.key_of(record.body)
        if key not in self._keys:
            check.damaged()
            return
        if not key:
            self._keys[record.number] = (record.at, len(record.body))
        self._numbers.append(record.number)
        self._at.append(record.at)
        self._length.append(len(record.body))

    def _take_block(self, record: records.Record) -> None:
        """Index a block if all its seconds can be read; otherwise its sums would be too high."""
        first, last, seconds = blocks.span_of(record.body)
        place = bisect_left(self._numbers, first)
        there = self._numbers[place : place + seconds]
        key = second.key_of(blocks.inner(record.body))
        if len(there) == seconds and (there[0], there[-1]) == (first, last) and key in self._keys:
            self._blocks[place] = _Block(seconds, record.at, len(record.body))

    def __len__(self) -> int:
        return len(self._at)

    def __contains__(self, point: object) -> bool:
        return any(one == point for one in self)

    def __iter__(self) -> Iterator[Point]:
        with self._open() as file:
            place = 0
            while place < len(self):  # it may grow meanwhile
                yield self._second(file, place)
                place += 1

    def after(self, number: int, limit: int) -> list[Point]:
        """Return at most `limit` points, starting after the first `number`."""
        with self._open() as file:
            places = range(max(0, number), min(len(self), number + limit))
            return [self._second(file, place) for place in places]

    def between(self, from_s: float, to_s: float) -> list[Point]:
        """Return the points that end after `from_s` and begin before `to_s`."""
        with self._open() as file:
            places = range(len(self))
            begin = bisect_right(places, from_s, key=lambda at: self._second(file, at).t_s)
            end = bisect_left(places, to_s, key=lambda at: self._second(file, at).begin_s)
            return [self._second(file, at) for at in range(begin, end)]

    def stretches(self, fine: Fine) -> Iterator[Point]:
        """Yield the points, with whole minutes as one where possible and not to be `fine`."""
        with self._open() as file:
            place = 0
            while place < len(self):
                block = self._blocks.get(place)
                if block is not None:
                    body = blocks.inner(_bytes(file, block.at, block.length))
                    stretch = self._point(file, body, Stretch)
                    if not fine(stretch):
                        yield stretch
                        place += block.seconds
                        continue
                yield self._second(file, place)
                place += 1

    def _open(self) -> BinaryIO:
        with os_error_as(ResourceError, f"series {self._path} cannot be read"):
            return self._path.open("rb")

    def _second(self, file: BinaryIO, place: int) -> Point:
        return self._point(file, _bytes(file, self._at[place], self._length[place]), Point)

    def _point(self, file: BinaryIO, body: bytes, kind: type[P]) -> P:
        try:
            facts = second.read_facts(body, self._dictionary(file, body))
            return second.read_point(body, facts, kind)
        except ValueError as error:
            text = f"series {self._path} is from another version of amoc, or was just changed"
            raise ResourceError(f"{text}: {error}") from None

    def _dictionary(self, file: BinaryIO, body: bytes) -> bytes:
        """Return the facts with which a body was deflated."""
        key = second.key_of(body)
        if key and key != self._key:
            self._key_facts = second.read_facts(_bytes(file, *self._keys[key]), b"")
            self._key = key
        return self._key_facts if key else b""


def _bytes(file: BinaryIO, at: int, length: int) -> bytes:
    file.seek(at)
    return file.read(length)


def has_stretches(points: Collection[Point]) -> bool:
    """Return whether whole minutes of a run can be read as one point."""
    return isinstance(points, StoredSeries)


def between(points: Collection[Point], from_s: float, to_s: float) -> list[Point]:
    """Return the points of a run that end after `from_s` and begin before `to_s`."""
    if isinstance(points, StoredSeries):
        return points.between(from_s, to_s)
    return [one for one in points if one.t_s > from_s and one.begin_s < to_s]


def stretches(points: Collection[Point], fine: Fine = lambda _: False) -> Iterator[Point]:
    """Return the points of a run, in order, with stretches in place of many of them.

    Args:
        points: The source; only a `StoredSeries` has stretches.
        fine: Called with a stretch once all points before it have been consumed; returns whether
            its seconds are wanted instead.
    """
    if isinstance(points, StoredSeries):
        return points.stretches(fine)
    return iter(points)
