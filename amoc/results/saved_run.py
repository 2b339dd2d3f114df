"""A run read back from its directory: summary, series and journal, as far as they are there.

A run that came to its end has left all three. One whose controller was killed, or whose disk was
full, has no summary; then it is rebuilt from the other two (`amoc.results.summary`). Torn lines are
passed over and told. Only a directory that holds none of the three is an error.

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
from amoc.base.text import counted
from amoc.metrics.histogram import Histogram
from amoc.results import journal, old_names
from amoc.results.run_directory import RunDirectory
from amoc.results.series import Point
from amoc.results.summary import rebuild
from amoc.results.summary_types import Summary

_Tell = Callable[[str], None]
_NUMBER = rb"(?:0|[1-9]\d*+)"
_PAIR = _NUMBER + b"," + _NUMBER
_CELLS = re.compile(rb'"cells":\[((?:' + _PAIR + rb"(?:," + _PAIR + rb")*+)?)\]")
"""Cells as they are written; in a name the quotes would be escaped."""


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

    What is appended later is not among them. Invalid lines are reported once, when it is made.
    """

    def __init__(self, path: Path, on_trouble: _Tell = lambda _: None) -> None:
        """The points that `path` holds now.

        Args:
            path: Where they are.
            on_trouble: Told, in a line, how many lines could not be read.

        Raises:
            ResourceError: It cannot be read.
        """
        self._path = path
        self._size = path.stat().st_size if path.exists() else 0
        self._broken = 0
        self._count = sum(1 for _ in self)
        if self._broken:
            lines = counted(self._broken, "line")
            on_trouble(f"{lines} of {path} could not be read, and were passed over")

    def __len__(self) -> int:
        return self._count

    def __contains__(self, point: object) -> bool:
        return any(one == point for one in self)

    def __iter__(self) -> Iterator[Point]:
        def torn(_number: int) -> None:
            self._broken += 1

        self._broken = 0
        for line in json_lines.read(self._path, "series", "t_s", torn, _packed, self._size):
            try:
                yield _point(line)
            except ValueError:
                self._broken += 1


def _packed(line: bytes) -> bytes:
    return _CELLS.sub(rb'"packed":"\1"', line)


def _point(line: dict[str, Any]) -> Point:
    """The point of a line whose cells are packed.

    Raises:
        ValueError: It is none.
    """
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
    """

    directory: Path
    summary: Summary
    points: Collection[Point]
    journal: Sequence[JsonObject]
    complete: bool

    @property
    def running(self) -> bool:
        """Whether the run was still running when it was read."""
        return self.summary["run"]["verdict"] == "running"


def load(directory: RunDirectory, on_trouble: _Tell = lambda _: None) -> SavedRun:
    """What the run of `directory` has left.

    Args:
        directory: Where it is.
        on_trouble: Told, a line each, what is missing or torn.

    Raises:
        UsageError: There is nothing of a run.
    """
    missing = [path for path in _files(directory) if not path.exists()]
    if len(missing) == len(_files(directory)):
        names = ", ".join(path.name for path in missing)
        raise UsageError(f"{directory.path} is not a run directory: it has none of {names}")
    running = not directory.summary.exists() and directory.answers()
    entries, points = _journal(directory, on_trouble), _series(directory, on_trouble)
    summary = _summary(directory.summary, on_trouble)
    if summary is None:
        summary = rebuild(directory.id, str(directory.path), entries, points, running)
        return SavedRun(directory.path, summary, points, entries, complete=False)
    killed = summary["run"].get("verdict") == "killed"
    return SavedRun(directory.path, summary, points, entries, complete=not killed)


def _files(directory: RunDirectory) -> tuple[Path, ...]:
    return directory.summary, directory.series, directory.journal


def _summary(path: Path, on_trouble: _Tell) -> Summary | None:
    if not path.exists():
        return None
    try:
        found = json_lines.parse(path.read_bytes()) or {}
    except OSError as error:
        on_trouble(f"summary {path} cannot be read: {error.strerror}; it is rebuilt")
        return None
    run = found.get("run") if found is not None else None
    if found is None or not (isinstance(run, dict) and isinstance(run.get("verdict"), str)):
        on_trouble(f"summary {path} is invalid, so it is rebuilt")
        return None
    return old_names.summary(found)


def _journal(directory: RunDirectory, on_trouble: _Tell) -> list[dict[str, Any]]:
    path = directory.journal

    def torn(number: int) -> None:
        on_trouble(f"line {number} of {path} is torn, and passed over")

    try:
        return journal.read(path, torn)
    except ResourceError as error:
        on_trouble(f"{error}; commands, events and tracebacks are missing")
        return []


def _series(directory: RunDirectory, on_trouble: _Tell) -> Collection[Point]:
    try:
        return Series(directory.series, on_trouble)
    except ResourceError as error:
        on_trouble(f"{error}; what happened second by second is missing")
        return ()
