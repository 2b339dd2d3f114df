"""What a run leaves: its directory, with the journal and the series in it.

They are made when the scenario is loaded and its settings are right, and taken away again when no
user could start. Before and after that nothing is written.
"""

from __future__ import annotations

import logging
from collections.abc import Callable
from datetime import datetime
from pathlib import Path
from typing import Any

from amoc.base import atomic_write
from amoc.base.errors import AmocError
from amoc.base.json_lines import LineFile
from amoc.base.text import counted
from amoc.ipc.messages.lifecycle import Loaded
from amoc.results import replay
from amoc.results.export import junit
from amoc.results.journal import Journal
from amoc.results.journal_facts import JournalFacts
from amoc.results.run_directory import RunDirectory
from amoc.results.run_totals import RunTotals
from amoc.results.series import Point
from amoc.results.summary import make
from amoc.results.summary_types import Summary
from amoc.runtime.controller import report_writer
from amoc.scenario.run_plan import RunPlan

log = logging.getLogger(__name__)


class RunFiles:
    """The files of one run.

    Attributes:
        directory: Where they are; None before `begin`.
        facts: What is in the journal.
    """

    def __init__(self, plan: RunPlan, run_id: str, on_trouble: Callable[[str], None]) -> None:
        """Keep files of the run of `plan`.

        Args:
            plan: What is run.
            run_id: The run's id.
            on_trouble: Told, once, when they cannot be written.
        """
        self.directory: RunDirectory | None = None
        self.facts = JournalFacts()
        self._plan = plan
        self._run_id = run_id
        self._on_trouble = on_trouble
        self._journal: Journal | None = None
        self._series: LineFile | None = None

    def begin(self, loaded: Loaded, started_at: datetime) -> Journal:
        """Make the directory, with the plan as the first line of its journal.

        Raises:
            UsageError, ResourceError: It cannot be made.
        """
        self.directory = RunDirectory.create(self._plan.run_directory, loaded.name, started_at)
        self._journal = Journal(self.directory.journal, self._on_trouble)
        self._series = LineFile(self.directory.series, "series", self._on_trouble)
        at = started_at.isoformat(timespec="milliseconds")
        self.write("run", started_at=at, **replay.record_of(self._plan, loaded, self._run_id))
        return self._journal

    def users_may_start(self, begun_ns: int) -> None:
        """Times in the journal count from here."""
        if self._journal is not None:
            self._journal.begin(begun_ns)

    def write(self, kind: str, **fields: Any) -> None:
        """Write a line of the journal, if there is one."""
        if self._journal is not None:
            self.facts.take(self._journal.write(kind, **fields))

    def write_second(self, point: Point) -> None:
        """Write a second of the run."""
        if self._series is not None:
            self._series.append(point.to_json())

    def notes(self) -> list[str]:
        """What whoever reads the files should know of them."""
        lost = self._series.lost_in_all if self._series is not None else 0
        seconds = counted(lost, "second")
        return (
            [f"{seconds} could not be written, and are missing in charts and exports"]
            if lost
            else []
        )

    def end(self, totals: RunTotals | None) -> Summary | None:
        """Close what is open, and leave the summary and what is made of it.

        Args:
            totals: The sum of the run's seconds; None if no user could start, and then nothing is
                left.

        Returns:
            The summary.
        """
        for file in (self._journal, self._series):
            if file is not None:
                file.close()
        directory = self.directory
        if directory is None:
            return None
        if totals is None:
            directory.discard()
            return None
        summary = make(self.facts, totals, str(directory.path))
        self._leave(directory.summary, lambda path: atomic_write.write_json(path, summary))
        self._leave(directory.junit, lambda path: junit.write(summary, path))
        self._leave(directory.report, lambda _: report_writer.write(directory, self._on_trouble))
        return summary

    def _leave(self, path: Path, write: Callable[[Path], None]) -> None:
        """Have a file written; if that fails, the run is over all the same."""
        try:
            write(path)
        except AmocError as error:
            self._on_trouble(str(error))
        except OSError as error:
            self._on_trouble(f"{path} cannot be written: {error.strerror or error}")
        except Exception as error:
            self._on_trouble(f"{path} cannot be written, an internal error of amoc: {error!r}")
            log.exception("%s", path)
