"""Runs with viewers, and runs in lists that are still running."""

from __future__ import annotations

from pathlib import Path

from amoc.results.report.live import LivePage
from amoc.results.run_directory import RunDirectory
from amoc.results.run_list import ListedRun, of_summary
from amoc.service.dashboard.live import AddParts, Watched
from amoc.service.runs import Runs

MAX_LISTED = 8
"""Maximum number of runs that are followed without viewers."""


class LivePages:
    """The runs that are followed for viewers."""

    def __init__(self, runs: Runs, add: AddParts) -> None:
        """Follow no run yet; for `add` see `Watched`."""
        self._runs, self._add = runs, add
        self._watched: dict[str, Watched] = {}

    def of(self, directory: RunDirectory) -> Watched:
        """Return the page of a run, and follow the run from now on."""
        there = self._watched.get(directory.id)
        if there is None:

            def end() -> None:
                if self._watched.get(directory.id) is there:
                    del self._watched[directory.id]

            there = Watched(directory, self.goes_on, end, self._add)
            self._watched[directory.id] = there
        return there

    def page_of(self, directory: RunDirectory) -> LivePage | None:
        """Wait for the page of a running run, and return it; None for a run that has ended."""
        page = self.of(directory).ready() if self.goes_on(directory) else None
        return None if page is None or page.is_over else page

    def begin(self, directory: RunDirectory) -> None:
        """Follow a run that the server has started."""
        if len(self._watched) < MAX_LISTED:
            self.of(directory).to_the_end = True

    def so_far(self, one: ListedRun) -> ListedRun:
        """Return a run as in a list, with its current figures if it is running.

        Follows the run from the first call on, as if it had viewers.
        """
        if one.verdict != "running" or one.duration_s is not None:
            return one
        directory = RunDirectory(Path(one.directory))
        if one.name not in self._watched and len(self._watched) >= MAX_LISTED:
            return one
        page = self.of(directory).looked_at()
        return one if page is None else of_summary(one.name, one.directory, page.summary)

    def goes_on(self, directory: RunDirectory) -> bool:
        """Return whether a run may still write data; true for this server's from the start."""
        is_ours = self._runs.job(directory.id) is not None
        return not directory.summary.exists() and (is_ours or directory.answers())

    def __len__(self) -> int:
        return len(self._watched)
