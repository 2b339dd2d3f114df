"""The files of a run: its directory with the journal and the series.

They are created once the scenario is loaded and its settings are valid, and removed if no user
could start. Outside that time nothing is written.
"""

from __future__ import annotations

import logging
from collections.abc import Callable
from datetime import datetime
from pathlib import Path
from typing import Any

from amoc.base.clock import utc_text
from amoc.base.errors import AmocError, ExitCode
from amoc.ipc.messages.lifecycle import Loaded
from amoc.results import replay
from amoc.results.journal import Journal
from amoc.results.journal_facts import JournalFacts
from amoc.results.run_directory import RunDirectory
from amoc.results.run_totals import RunTotals
from amoc.results.series import Point
from amoc.results.summary_types import Summary
from amoc.runtime import logs
from amoc.runtime.controller.series_recorder import SeriesRecorder
from amoc.scenario.run_plan import RunPlan

log = logging.getLogger(__name__)


class RunFiles:
    """The files of one run.

    Attributes:
        directory: The run directory; None before `begin`.
        facts: The content of the journal.
    """

    def __init__(self, plan: RunPlan, run_id: str, warn: Callable[[str], None]) -> None:
        """Create it; no file is written before `begin`.

        Args:
            plan: What is run.
            run_id: The run's id.
            warn: Called once if the files cannot be written.
        """
        self.directory: RunDirectory | None = None
        self.facts = JournalFacts()
        self._plan = plan
        self._run_id = run_id
        self._warn = warn
        self._journal: Journal | None = None
        self._series: SeriesRecorder | None = None

    def begin(self, loaded: Loaded, started_at: datetime) -> Journal:
        """Create the directory, with the plan as the first line of its journal.

        Raises:
            UsageError, ResourceError: It cannot be created.
        """
        self.directory = RunDirectory.create(self._plan.run_directory, loaded.name, started_at)
        self._journal = Journal(self.directory.journal, self._warn)
        self._series = SeriesRecorder(self.directory.series, self._warn)
        at = utc_text(started_at)
        self.write("run", started_at=at, **replay.record_of(self._plan, loaded, self._run_id))
        return self._journal

    def users_may_start(self, begun_ns: int) -> None:
        """Count times in the journal from here."""
        if self._journal is not None:
            self._journal.begin(begun_ns)

    def write(self, kind: str, **fields: Any) -> None:  # Any: JSON types, and `when_ns`
        """Write a line of the journal, if there is one."""
        if self._journal is not None:
            self.facts.take(self._journal.write(kind, **fields))

    def write_second(self, point: Point) -> None:
        """Write one second of the run."""
        if self._series is not None:
            self._series.take(point)

    @property
    def records(self) -> int:
        """How many records the series should have."""
        return self._series.records if self._series is not None else 0

    def missing(self) -> list[str]:
        """Return what could not be written, one sentence per file."""
        assert self.directory is not None
        files = ((self.directory.series, self._series), (self.directory.journal, self._journal))
        return [f"{path.name}: {file.missing}" for path, file in files if file and file.missing]

    def discard(self) -> None:
        """Remove all files, as no user could start."""
        self._close()
        if self.directory is not None:
            logs.drop()  # or lines held until the end would be missed in a deleted file
            self.directory.discard()

    def end(self, totals: RunTotals) -> tuple[Summary, ExitCode]:
        """Close the open files, and write the summary and the reports made from it.

        Args:
            totals: The sum of the run's seconds.

        Returns:
            The summary and the run's exit code. If the run itself has succeeded, the code tells
            whether all files could be written.
        """
        # Imported here: not needed while users run.
        from amoc.results import summary_file
        from amoc.results.summary import lacking, make
        from amoc.runtime.controller import report_writer

        directory = self.directory
        assert directory is not None
        self._close()
        summary = make(self.facts, totals, str(directory.path))
        summary["run"] = lacking(summary["run"], self.missing())
        wrong = self._leave(directory.summary, lambda path: summary_file.write(summary, path))
        if wrong:
            name = directory.summary.name
            summary["run"] = lacking(summary["run"], [f"{name} could not be written"])
        left = (
            wrong,
            self._leave(directory.junit, lambda path: _write_junit(summary, path)),
            self._leave(directory.report, lambda _: report_writer.write(directory, self._warn)),
        )
        code = ExitCode(summary["run"]["exit_code"] or 0)
        return summary, code or max(left)

    def _close(self) -> None:
        for file in (self._journal, self._series):
            if file is not None:
                file.close()

    def _leave(self, path: Path, write: Callable[[Path], None]) -> ExitCode:
        """Write a file; a failure is reported, and does not change the end of the run."""
        try:
            write(path)
        except AmocError as error:
            self._warn(str(error))
            return error.exit_code
        except OSError as error:
            self._warn(f"{path} cannot be written: {error.strerror or error}")
            return ExitCode.RESOURCE
        except Exception as error:
            self._warn(f"{path} cannot be written because of an internal error: {error!r}")
            log.exception("%s", path)
            return ExitCode.INTERNAL
        return ExitCode.OK


def _write_junit(summary: Summary, path: Path) -> None:
    from amoc.results.export import junit  # imports an XML parser, which a run does not need

    junit.write(summary, path)
