"""A run read back from its directory: summary, series and journal, as far as they exist.

A run that completed has left all three. If the controller was killed or the disk was full, there is
no summary, and it is rebuilt from the other two (`amoc.results.summary`). What is missing or
damaged is left out and reported, and makes the verdict ``incomplete``. Only a directory with none
of the three is an error.

A series may be larger than memory. So its points are read from the file on each iteration, and only
one is held at a time.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass
from pathlib import Path

from amoc.base.errors import ResourceError, UsageError
from amoc.base.json_plain import Json, JsonObject
from amoc.base.line_check import LineCheck
from amoc.metrics import numpy_loading
from amoc.results import journal, summary_file
from amoc.results.run_directory import RunDirectory
from amoc.results.series import Point
from amoc.results.store.lines import LineSeries
from amoc.results.store.reader import StoredSeries
from amoc.results.summary import lacking, rebuild
from amoc.results.summary_types import Summary

_Warn = Callable[[str], None]


@dataclass(frozen=True)
class SavedRun:
    """The files that a run has left.

    Attributes:
        directory: The run directory.
        summary: As in `docs/summary.md`.
        points: Its seconds, in order. Iterating over them may take long, so do it rarely.
        journal: The entries of its journal.
        complete: Whether the run wrote the summary itself; otherwise it was rebuilt, now or before.
        missing: What is missing or damaged, one sentence each.
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


def load(
    directory: RunDirectory, warn: _Warn = lambda _: None, running: bool | None = None
) -> SavedRun:
    """Read the run in `directory`.

    Args:
        directory: The run directory.
        warn: Called with what is missing or damaged, one line each.
        running: Whether the run is still running, if `directory` is a copy; None: ask the run.

    Raises:
        UsageError: The directory contains nothing of a run.
    """
    files = (directory.summary, directory.series, directory.journal)
    if not any(path.exists() for path in (*files, directory.old_series)):
        names = ", ".join(path.name for path in files)
        raise UsageError(f"{directory.path} is not a run directory: it has none of {names}")
    missing: list[str] = []
    if running is None:
        running = not directory.summary.exists() and directory.answers()
    entries = _journal(directory.journal, missing)
    end = next((one for one in reversed(entries) if one["kind"] == "end"), None)
    points = _series(directory, end or {}, missing)
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
    """Return the summary as the run has left it; None if it must be rebuilt."""
    if not path.exists():
        if end is not None:
            missing.append(f"{path.name} is missing, so it was rebuilt")
        return None
    try:
        found = summary_file.read(path, sealed=bool({"seconds", "records"} & (end or {}).keys()))
    except OSError as error:
        missing.append(f"{path.name} cannot be read, so it was rebuilt: {error.strerror}")
        return None
    if found is None:
        missing.append(f"{path.name} is damaged, so it was rebuilt")
    return found


def _journal(path: Path, missing: list[str]) -> list[dict[str, Json]]:
    check = LineCheck()
    try:
        entries = journal.read(path, check)
    except ResourceError as error:
        missing.append(f"{error}; commands, events and tracebacks are missing")
        return []
    missing += [f"{path.name}: {problem}" for problem in check.problems()]
    return entries


def _series(directory: RunDirectory, end: JsonObject, missing: list[str]) -> Collection[Point]:
    series: StoredSeries | LineSeries
    path = directory.series
    try:
        if not path.exists() and directory.old_series.exists():
            path = directory.old_series
            series = LineSeries(path, end.get("seconds"))
        else:
            series = StoredSeries(path, end.get("records"))
            if path.stat().st_size > numpy_loading.LARGE_BYTES:
                numpy_loading.load_now()
    except ResourceError as error:
        missing.append(f"{error}; what happened second by second is missing")
        return ()
    missing += [f"{path.name}: {problem}" for problem in series.problems]
    return series
