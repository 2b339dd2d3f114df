"""A run read back from its directory: summary, series and journal, as far as they are there.

A run that came to its end has left all three. One whose controller was killed, or whose disk was
full, has no summary; then it is rebuilt from the other two (`amoc.results.summary`). What is
missing or damaged is left out and told, and a reason why the verdict is ``incomplete``. Only a
directory that holds none of the three is an error.

A series may be larger than memory. So its points are read anew whenever somebody goes through
them, and only one is held at a time.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from amoc.base.errors import ResourceError, UsageError
from amoc.base.json_plain import JsonObject
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


def load(
    directory: RunDirectory, warn: _Warn = lambda _: None, running: bool | None = None
) -> SavedRun:
    """What the run of `directory` has left.

    Args:
        directory: Where it is.
        warn: Told, a line each, what is missing or damaged.
        running: Whether it is still running, of a copy that it does not write to; None: ask it.

    Raises:
        UsageError: There is nothing of a run.
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
    """The summary as the run has left it; None if it must be rebuilt."""
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


def _journal(path: Path, missing: list[str]) -> list[dict[str, Any]]:
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
