"""The seconds of runs while they are written, each with its number.

Second n of a run is the n-th in its series, so a client that has seen n asks for those after n,
whenever it comes back. Nothing waits for a client: each reads from the file at its own pace.
"""

from __future__ import annotations

from collections import OrderedDict
from contextlib import suppress

from amoc.base.errors import ResourceError
from amoc.results.run_directory import RunDirectory
from amoc.results.series import Point
from amoc.results.store.reader import StoredSeries

MAX_OPEN = 32
"""Runs whose places of seconds are remembered; 24 bytes for each second."""


class LiveSeries:
    """Seconds of any run, by number."""

    def __init__(self) -> None:
        self._known: OrderedDict[str, tuple[int, StoredSeries]] = OrderedDict()

    def after(self, directory: RunDirectory, number: int, limit: int) -> list[tuple[int, Point]]:
        """At most `limit` seconds after second `number`, each with its number.

        Raises:
            ResourceError: The series cannot be read.
        """
        series = self._series(directory)
        if series is None:
            return []
        return list(enumerate(series.after(number, limit), max(0, number) + 1))

    def count(self, directory: RunDirectory) -> int:
        """How many seconds there are."""
        series = self._series(directory)
        return 0 if series is None else len(series)

    def last(self, directory: RunDirectory) -> Point | None:
        """The newest second; None if there is none yet."""
        found = self.after(directory, self.count(directory) - 1, 1)
        return found[0][1] if found else None

    def forget(self, directory: RunDirectory) -> None:
        """The run was deleted."""
        self._known.pop(directory.id, None)

    def _series(self, directory: RunDirectory) -> StoredSeries | None:
        try:
            status = directory.series.stat()
        except OSError:
            self.forget(directory)
            return None
        file, series = self._known.pop(directory.id, (status.st_ino, None))
        if series is None or file != status.st_ino:
            series = StoredSeries(directory.series)
        else:
            with suppress(ResourceError):  # deleted just now
                series.grow()
        self._known[directory.id] = status.st_ino, series
        while len(self._known) > MAX_OPEN:
            self._known.popitem(last=False)
        return series


def second_of(number: int, point: Point, histograms: bool = False) -> dict[str, object]:
    """A second as clients get it: as `amoc export --jsonl` has it, and numbered."""
    made = {"second": number, **point.to_json()}
    timers = made.get("timers")
    if isinstance(timers, dict) and not histograms:
        for one in timers.values():
            del one["cells"]
    return made
