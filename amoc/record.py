"""A run read back from its directory: summary, series and journal, as far as they are there.

A run that came to its end has left all three. One whose controller was killed, or whose disk was
full, has no summary; then it is rebuilt from the other two (`amoc.rebuilding`). Torn lines are
passed over and told. Only a directory that holds none of the three is an error.

A series may be larger than memory. So its points are read anew whenever somebody goes through them,
and only one is held at a time. Who does not look at durations passes over the cells of histograms,
which are nearly all of a series (`briefly`).
"""

from __future__ import annotations

import re
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
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
_CELLS = re.compile(rb'"cells":\[[0-9,]*\]')  # in a name the quotes would be escaped


class Series(Collection[Point]):
    """The points of a ``series.jsonl``, in order; they are read anew each time.

    What is appended later is not among them. Lines that are none are told once, when it is made.
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
        self._count = sum(1 for _ in self.briefly())
        if self._broken:
            lines = counted(self._broken, "line")
            on_trouble(f"{lines} of {path} could not be read, and were passed over")

    def __len__(self) -> int:
        return self._count

    def __iter__(self) -> Iterator[Point]:
        return self._read(lambda line: line)

    def __contains__(self, point: object) -> bool:
        return any(one == point for one in self)

    def briefly(self) -> Iterator[Point]:
        """The points, with histograms that have no cells: several times faster."""
        return self._read(lambda line: _CELLS.sub(b'"cells":[]', line))

    def _read(self, prepare: Callable[[bytes], bytes]) -> Iterator[Point]:
        def torn(_number: int) -> None:
            self._broken += 1

        self._broken = 0
        for line in jsonlines.read(self._path, "series", "t_s", torn, prepare, self._size):
            try:
                point = Point.from_json(line)
            except ValueError:
                self._broken += 1
            else:
                yield point


def briefly(points: Collection[Point]) -> Iterable[Point]:
    """`points` for who does not look at the cells of histograms, which may be missing."""
    return points.briefly() if isinstance(points, Series) else points


@dataclass(frozen=True)
class RunRecord:
    """What a run has left.

    Attributes:
        directory: Where.
        summary: As in `docs/summary.md`.
        points: Its seconds, in order; going through them may take long, so it is done seldom.
        journal: The entries of its journal.
        complete: Whether the run wrote the summary itself; otherwise it was rebuilt, now or before.
    """

    directory: Path
    summary: Mapping[str, Any]
    points: Collection[Point]
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


def _series(directory: RunDirectory, on_trouble: _Tell) -> Collection[Point]:
    try:
        return Series(directory.series, on_trouble)
    except ResourceError as error:
        on_trouble(f"{error}; what happened second by second is missing")
        return ()
