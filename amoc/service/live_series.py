"""Numbered seconds of runs, readable while the runs write them.

Second n is the n-th in a run's series. A client that has seen n asks for those after n, whenever it
comes back. Nothing waits for clients: each request reads from the file.
"""

from __future__ import annotations

from collections import OrderedDict
from contextlib import suppress

from amoc.base.errors import ResourceError
from amoc.results.run_directory import RunDirectory
from amoc.results.series import Point
from amoc.results.store.reader import StoredSeries

MAX_OPEN = 32
"""Maximum number of runs whose series index is cached, with 24 bytes per second."""


class LiveSeries:
    """The seconds of any run, by number."""

    def __init__(self) -> None:
        self._known: OrderedDict[str, tuple[int, StoredSeries]] = OrderedDict()

    def after(self, directory: RunDirectory, number: int, limit: int) -> list[tuple[int, Point]]:
        """Return at most `limit` seconds after second `number`, each with its number.

        Raises:
            ResourceError: The series cannot be read.
        """
        series = self._series(directory)
        if series is None:
            return []
        return list(enumerate(series.after(number, limit), max(0, number) + 1))

    def count(self, directory: RunDirectory) -> int:
        """Return the number of seconds so far."""
        series = self._series(directory)
        return 0 if series is None else len(series)

    def last(self, directory: RunDirectory) -> Point | None:
        """Return the newest second; None if there is none yet."""
        found = self.after(directory, self.count(directory) - 1, 1)
        return found[0][1] if found else None

    def forget(self, directory: RunDirectory) -> None:
        """Drop a deleted run from the cache."""
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
            with suppress(ResourceError):  # it has just been deleted
                series.grow()
        self._known[directory.id] = status.st_ino, series
        while len(self._known) > MAX_OPEN:
            self._known.popitem(last=False)
        return series


def second_of(number: int, point: Point, histograms: bool = False) -> dict[str, object]:
    """Return a second for clients: as in `amoc export --jsonl`, with its number."""
    made = {"second": number, **point.to_json()}
    timers = made.get("timers")
    if isinstance(timers, dict) and not histograms:
        for one in timers.values():
            del one["cells"]
    return made
