"""The runs that somebody looks at, and those that are listed while they go on."""

from __future__ import annotations

from pathlib import Path

from amoc.results.run_directory import RunDirectory
from amoc.results.run_list import ListedRun, of_summary
from amoc.service.dashboard.live import AddParts, Watched
from amoc.service.runs import Runs

MAX_LISTED = 8
"""Runs that are followed though nobody looks at their pages."""


class LivePages:
    """The runs that somebody looks at."""

    def __init__(self, runs: Runs, add: AddParts) -> None:
        """Follow nobody yet; `add` as for `Watched`."""
        self._runs, self._add = runs, add
        self._watched: dict[str, Watched] = {}

    def of(self, directory: RunDirectory) -> Watched:
        """The page of a run, which is followed from now on."""
        there = self._watched.get(directory.id)
        if there is None:

            def end() -> None:
                if self._watched.get(directory.id) is there:
                    del self._watched[directory.id]

            there = Watched(directory, self.goes_on, end, self._add)
            self._watched[directory.id] = there
        return there

    def begin(self, directory: RunDirectory) -> None:
        """The server has started a run."""
        if len(self._watched) < MAX_LISTED:
            self.of(directory).to_the_end = True

    def so_far(self, one: ListedRun) -> ListedRun:
        """A run as it is listed, with the figures that it has up to now if it goes on.

        From the first call on it is followed, as if somebody looked at its page.
        """
        if one.verdict != "running" or one.duration_s is not None:
            return one
        directory = RunDirectory(Path(one.directory))
        if one.name not in self._watched and len(self._watched) >= MAX_LISTED:
            return one
        page = self.of(directory).looked_at()
        return one if page is None else of_summary(one.name, one.directory, page.summary)

    def goes_on(self, directory: RunDirectory) -> bool:
        """Whether a run may still write something; those of the server from their start on."""
        if directory.summary.exists():
            return False
        if self._runs.job(directory.id) is not None:
            return True
        return directory.control.exists() and directory.answers()

    def __len__(self) -> int:
        return len(self._watched)
