"""A run read back from its directory: summary, series and journal, as far as they are there.

A run that came to its end has left all three. One whose controller was killed, or whose disk was
full, has no summary; then it is rebuilt from the other two (`amoc.rebuilding`). Torn lines are
passed over and told. Only a directory that holds none of the three is an error.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from amoc import journal, jsonlines
from amoc.errors import ResourceError, UsageError
from amoc.lines import counted
from amoc.rebuilding import rebuild
from amoc.rundir import RunDirectory
from amoc.series import Point

_Tell = Callable[[str], None]


@dataclass(frozen=True)
class RunRecord:
    """What a run has left.

    Attributes:
        directory: Where.
        summary: As in `docs/summary.md`.
        points: Its seconds, in order.
        journal: The entries of its journal.
        complete: Whether the run wrote the summary itself; otherwise it was rebuilt, now or before.
    """

    directory: Path
    summary: Mapping[str, Any]
    points: Sequence[Point]
    journal: Sequence[Mapping[str, Any]]
    complete: bool

    @property
    def running(self) -> bool:
        """Whether the run was still running when it was read."""
        return bool(self.summary["run"]["verdict"] == "running")


def load(directory: RunDirectory, on_trouble: _Tell = lambda _: None) -> RunRecord:
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
        raise UsageError(f"{directory.path} must hold what a run has left, but has none of {names}")
    running = not directory.summary.exists() and directory.answers()
    entries, points = _journal(directory, on_trouble), _series(directory, on_trouble)
    summary = _summary(directory.summary, on_trouble)
    if summary is None:
        summary = rebuild(directory.id, str(directory.path), entries, points, running)
        return RunRecord(directory.path, summary, points, entries, complete=False)
    killed = summary["run"].get("verdict") == "killed"
    return RunRecord(directory.path, summary, points, entries, complete=not killed)


def _files(directory: RunDirectory) -> tuple[Path, ...]:
    return directory.summary, directory.series, directory.journal


def _summary(path: Path, on_trouble: _Tell) -> dict[str, Any] | None:
    if not path.exists():
        return None
    try:
        found = jsonlines.parse(path.read_bytes())
    except OSError as error:
        on_trouble(f"summary {path} cannot be read: {error.strerror}; it is rebuilt")
        return None
    if found is None or not isinstance(found.get("run"), dict):
        on_trouble(f"summary {path} is none, so it is rebuilt")
        return None
    return found


def _journal(directory: RunDirectory, on_trouble: _Tell) -> list[dict[str, Any]]:
    path = directory.journal

    def torn(number: int) -> None:
        on_trouble(f"line {number} of {path} is torn, and passed over")

    try:
        return journal.read(path, torn)
    except ResourceError as error:
        on_trouble(f"{error}; commands, events and tracebacks are missing")
        return []


def _series(directory: RunDirectory, on_trouble: _Tell) -> list[Point]:
    """The points; many lines that are none are told in one."""
    path, points, broken = directory.series, [], 0

    def torn(_number: int) -> None:
        nonlocal broken
        broken += 1

    try:
        for line in jsonlines.read(path, "series", "t_s", torn):
            try:
                points.append(Point.from_json(line))
            except ValueError:
                broken += 1
    except ResourceError as error:
        on_trouble(f"{error}; what happened second by second is missing")
    if broken:
        on_trouble(f"{counted(broken, 'line')} of {path} could not be read, and were passed over")
    return points
