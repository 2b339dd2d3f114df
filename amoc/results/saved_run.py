"""A run read back from its directory: summary, series and journal, as far as they are there.

A run that came to its end has left all three. One whose controller was killed, or whose disk was
full, has no summary; then it is rebuilt from the other two (`amoc.results.summary`). What is
missing or damaged is left out and told, and a reason why the verdict is ``incomplete``. Only a
directory that holds none of the three is an error.

A series may be larger than memory. So its points are read anew whenever somebody goes through
them, and only one is held at a time. Cells of histograms are nearly all of a series, and only who
looks at durations needs them: they stay text until then.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from amoc.base import json_lines
from amoc.base.errors import ResourceError, UsageError
from amoc.base.json_plain import JsonObject
from amoc.base.line_check import LineCheck
from amoc.base.text import counted
from amoc.metrics.histogram import Histogram
from amoc.results import journal, summary_file
from amoc.results.run_directory import RunDirectory
from amoc.results.series import Point
from amoc.results.summary import lacking, rebuild
from amoc.results.summary_types import Summary

_Warn = Callable[[str], None]
_NUMBER = rb"(?:0|[1-9]\d*+)"
_PAIR = _NUMBER + b"," + _NUMBER
_CELLS = re.compile(rb'"cells":\[((?:' + _PAIR + rb"(?:," + _PAIR + rb")*+)?)\]")
"""Cells as they are written; in a name the quotes would be escaped."""


MIN_GAP_S = 0.01
"""Times are rounded."""


class _Timers(Mapping[str, Histogram]):
    """Histograms that are made of their text when they are looked at."""

    def __init__(self, told: Mapping[str, tuple[str, int]]) -> None:
        """Of each name: cell, count, cell, count and so on, and the longest duration in ns."""
        self._told = told
        self._made: dict[str, Histogram] = {}

    def __getitem__(self, name: str) -> Histogram:
        made = self._made.get(name)
        if made is None:
            text, max_ns = self._told[name]
            numbers = iter(json.loads(f"[{text}]"))
            made = Histogram(dict(zip(numbers, numbers, strict=True)), max_ns)
            self._made[name] = made
        return made

    def __iter__(self) -> Iterator[str]:
        return iter(self._told)

    def __len__(self) -> int:
        return len(self._told)


class Series(Collection[Point]):
    """The points of a ``series.jsonl``, in order; they are read anew each time.

    What is appended later is not among them, and damaged lines are not.

    Attributes:
        problems: What is wrong with the file, a sentence each.
    """

    def __init__(self, path: Path, written: int | None = None) -> None:
        """The points that `path` holds now.

        Args:
            path: Where they are.
            written: How many lines the run has written, if that is known.

        Raises:
            ResourceError: It cannot be read.
        """
        self._path = path
        self._size = path.stat().st_size if path.exists() else 0
        self._left_out: set[int] = set()
        self._count = 0
        check, times = LineCheck(), _Times()
        for number, line in enumerate(self._lines()):
            if check.take(line) and (check.sealed or times.take(line, check)):
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
                    text = f"line {number + 1} of {self._path} is of another version of amoc"
                    raise ResourceError(f"{text}: {error}") from None

    def _lines(self) -> Iterator[bytes]:
        return json_lines.lines(self._path, "series", self._size)


class _Times:
    """Looks at points without a number and a checksum: each begins where the one before ends."""

    def __init__(self) -> None:
        self._until_s = 0.0
        self._missing_s = 0.0
        self._early = 0

    def take(self, line: bytes, check: LineCheck) -> bool:
        """Take the next line; whether it is to be read. A torn last line is no news."""
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
        """What is wrong with the times, a sentence each."""
        found = (
            [f"{self._missing_s:.3g} s are missing between its lines"] if self._missing_s else []
        )
        if self._early:
            found.append(f"{counted(self._early, 'line')} repeated or out of order")
        return found


def _point(text: bytes) -> Point:
    """The point of a line, with its cells as text.

    Raises:
        ValueError: It is none.
    """
    line = json_lines.parse(_CELLS.sub(rb'"packed":"\1"', text)) or {}
    timers = line.pop("timers", {})
    try:
        told = {name: (one["packed"], int(one["max_ns"])) for name, one in timers.items()}
    except (AttributeError, KeyError, TypeError) as error:
        raise ValueError(f"not the timers of a point: {error!r}") from None
    point = Point.from_json(line)
    return replace(point, timers=_Timers(told)) if told else point


@dataclass(frozen=True)
class SavedRun:
    """What a run has left.

    Attributes:
        directory: Where.
        summary: As in `docs/summary.md`.
        points: Its seconds, in order; going through them may take long, so it is done seldom.
        journal: The entries of its journal.
        complete: Whether the run wrote the summary itself; otherwise it was rebuilt, now or before.
        missing: What of the run is missing or damaged, a sentence each.
    """

    directory: Path
    summary: Summary
    points: Collection[Point]
    journal: Sequence[JsonObject]
    complete: bool
    missing: Sequence[str] = ()

    @property
    def running(self) -> bool:
        """Whether the run was still running when it was read."""
        return self.summary["run"]["verdict"] == "running"


def load(directory: RunDirectory, warn: _Warn = lambda _: None) -> SavedRun:
    """What the run of `directory` has left.

    Args:
        directory: Where it is.
        warn: Told, a line each, what is missing or damaged.

    Raises:
        UsageError: There is nothing of a run.
    """
    files = (directory.summary, directory.series, directory.journal)
    if not any(path.exists() for path in files):
        names = ", ".join(path.name for path in files)
        raise UsageError(f"{directory.path} is not a run directory: it has none of {names}")
    missing: list[str] = []
    running = not directory.summary.exists() and directory.answers()
    entries = _journal(directory.journal, missing)
    end = next((one for one in reversed(entries) if one["kind"] == "end"), None)
    points = _series(directory.series, end and end.get("seconds"), missing)
    summary = _summary(directory.summary, end, missing)
    complete = summary is not None and summary["run"]["verdict"] != "killed"
    if complete and end is None and directory.journal.exists():
        missing.append(f"{directory.journal.name} has no end")
    if summary is None:
        summary = rebuild(directory.id, str(directory.path), entries, points, running)
    for text in missing:
        warn(text)
    if missing:
        summary["run"] = lacking(summary["run"], missing)
    return SavedRun(directory.path, summary, points, entries, complete, missing)


def _summary(path: Path, end: JsonObject | None, missing: list[str]) -> Summary | None:
    """The summary as the run has left it; None if it must be rebuilt."""
    if not path.exists():
        if end is not None:
            missing.append(f"{path.name} is missing, so it was rebuilt")
        return None
    try:
        found = summary_file.read(path, sealed=end is not None and "seconds" in end)
    except OSError as error:
        missing.append(f"{path.name} cannot be read, so it was rebuilt: {error.strerror}")
        return None
    if found is None:
        missing.append(f"{path.name} is damaged, so it was rebuilt")
    return found


def _journal(path: Path, missing: list[str]) -> list[dict[str, Any]]:
    check = LineCheck()
    try:
        entries = journal.read(path, check)
    except ResourceError as error:
        missing.append(f"{error}; commands, events and tracebacks are missing")
        return []
    missing += [f"{path.name}: {problem}" for problem in check.problems()]
    return entries


def _series(path: Path, written: int | None, missing: list[str]) -> Collection[Point]:
    try:
        series = Series(path, written)
    except ResourceError as error:
        missing.append(f"{error}; what happened second by second is missing")
        return ()
    missing += [f"{path.name}: {problem}" for problem in series.problems]
    return series
