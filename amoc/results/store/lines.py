"""Reads ``series.jsonl``, a line of JSON per second, written by earlier versions of amoc."""

from __future__ import annotations

from collections.abc import Collection, Iterator
from pathlib import Path

from amoc.base import json_lines
from amoc.base.errors import ResourceError
from amoc.base.line_check import LineCheck
from amoc.base.text import counted
from amoc.results.series import Point

MIN_GAP_S = 0.01
"""Times are rounded."""


class LineSeries(Collection[Point]):
    """The points of a ``series.jsonl``, in order; each iteration reads the file.

    Lines appended later are not included, and neither are damaged lines.

    Attributes:
        problems: What is wrong with the file, one sentence each.
    """

    def __init__(self, path: Path, written: int | None = None) -> None:
        """Index the points currently in `path`.

        Args:
            path: The file.
            written: How many lines the run has written, if known.

        Raises:
            ResourceError: The file cannot be read.
        """
        self._path = path
        self._size = path.stat().st_size if path.exists() else 0
        self._left_out: set[int] = set()
        self._count = 0
        check, times = LineCheck(), _Times()
        for number, line in enumerate(self._lines()):
            if check.take_line(line) and (check.sealed or times.take(line, check)):
                self._count += 1
            else:
                self._left_out.add(number)
        self.problems = [*check.problems(written), *times.problems()]

    def __len__(self) -> int:
        return self._count

    def __contains__(self, point: object) -> bool:
        return any(one == point for one in self)

    def __iter__(self) -> Iterator[Point]:
        for number, line in enumerate(self._lines()):
            if number not in self._left_out:
                try:
                    yield _point(line)
                except ValueError as error:
                    text = f"line {number + 1} of {self._path} is from another version of amoc"
                    raise ResourceError(f"{text}: {error}") from None

    def _lines(self) -> Iterator[bytes]:
        return json_lines.lines(self._path, "series", self._size)


class _Times:
    """Checks points without a number and a checksum: each begins where the one before ends."""

    def __init__(self) -> None:
        self._until_s = 0.0
        self._missing_s = 0.0
        self._early = 0

    def take(self, line: bytes, check: LineCheck) -> bool:
        """Take the next line; return whether to read it. A torn last line is not a problem."""
        try:
            point = _point(line)
        except ValueError:
            if line.endswith(b"\n"):
                check.damaged()
            return False
        if point.t_s <= self._until_s:
            self._early += 1
            return False
        if (gap_s := point.begin_s - self._until_s) > MIN_GAP_S:
            self._missing_s += gap_s
        self._until_s = point.t_s
        return True

    def problems(self) -> list[str]:
        """Return what is wrong with the times, one sentence each."""
        found = (
            [f"{self._missing_s:.3g} s are missing between its lines"] if self._missing_s else []
        )
        if self._early:
            found.append(f"{counted(self._early, 'line')} repeated or out of order")
        return found


def _point(line: bytes) -> Point:
    """Parse the point in a line.

    Raises:
        ValueError: It is not a point.
    """
    return Point.from_json(json_lines.parse(line) or {})
