"""Reads the seconds of a run back from its directory.

All records are checked when a file is opened; seconds are read anew whenever somebody goes through
them, and only one is held at a time. What is appended later is not among them.
"""

from __future__ import annotations

from array import array
from collections.abc import Collection, Iterator
from pathlib import Path
from typing import BinaryIO

from amoc.base.errors import ResourceError
from amoc.base.line_check import RecordCheck
from amoc.results.series import Point
from amoc.results.store import records, second


class StoredSeries(Collection[Point]):
    """The points of a file that a `SeriesWriter` has written, in order; damaged ones are left out.

    Attributes:
        problems: What is wrong with the file, a sentence each.
    """

    def __init__(self, path: Path, written: int | None = None) -> None:
        """The points that `path` holds now.

        Args:
            path: Where they are.
            written: How many records the run has written, if that is known.

        Raises:
            ResourceError: It cannot be read.
        """
        self._path = path
        self._at, self._length = array("Q"), array("L")
        self._key, self._key_facts = 0, b""
        self._keys: dict[int, tuple[int, int]] = {0: (0, 0)}
        check = RecordCheck()
        try:
            with path.open("rb") as file:
                self._check(file, check)
        except OSError as error:
            raise ResourceError(f"series {path} cannot be read: {error.strerror}") from None
        self.problems = check.problems(written)

    def _check(self, file: BinaryIO, check: RecordCheck) -> None:
        for record in records.read(file, file.seek(0, 2)):
            if not check.take(record.number if record is not None else None):
                continue
            assert record is not None
            if record.kind == second.SECOND:
                self._take(record, check)

    def _take(self, record: records.Record, check: RecordCheck) -> None:
        key = second.key_of(record.body)
        if key not in self._keys:
            check.damaged()
            return
        if not key:
            self._keys[record.number] = (record.at, len(record.body))
        self._at.append(record.at)
        self._length.append(len(record.body))

    def __len__(self) -> int:
        return len(self._at)

    def __contains__(self, point: object) -> bool:
        return any(one == point for one in self)

    def __iter__(self) -> Iterator[Point]:
        with self._open() as file:
            for at, length in zip(self._at, self._length, strict=True):
                yield self._point(file, at, length)

    def _open(self) -> BinaryIO:
        try:
            return self._path.open("rb")
        except OSError as error:
            raise ResourceError(f"series {self._path} cannot be read: {error.strerror}") from None

    def _point(self, file: BinaryIO, at: int, length: int) -> Point:
        body = _bytes(file, at, length)
        try:
            return second.read_point(body, second.read_facts(body, self._dictionary(file, body)))
        except ValueError as error:
            text = f"series {self._path} is of another version of amoc, or was changed just now"
            raise ResourceError(f"{text}: {error}") from None

    def _dictionary(self, file: BinaryIO, body: bytes) -> bytes:
        """The facts with which a body was deflated."""
        key = second.key_of(body)
        if key and key != self._key:
            self._key_facts = second.read_facts(_bytes(file, *self._keys[key]), b"")
            self._key = key
        return self._key_facts if key else b""


def _bytes(file: BinaryIO, at: int, length: int) -> bytes:
    file.seek(at)
    return file.read(length)
