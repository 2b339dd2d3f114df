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

from amoc.base.errors import AmocError, ExitCode
from amoc.ipc.messages.lifecycle import Loaded
from amoc.results import replay
from amoc.results.journal import Journal
from amoc.results.journal_facts import JournalFacts
from amoc.results.run_directory import RunDirectory
from amoc.results.run_totals import RunTotals
from amoc.results.series import Point
from amoc.results.summary_types import Summary
from amoc.runtime.controller.series_recorder import SeriesRecorder
from amoc.scenario.run_plan import RunPlan

log = logging.getLogger(__name__)


class RunFiles:
    """The files of one run.

    Attributes:
        directory: Where they are; None before `begin`.
        facts: What is in the journal.
    """

    def __init__(self, plan: RunPlan, run_id: str, warn: Callable[[str], None]) -> None:
        """Keep files of the run of `plan`.

        Args:
            plan: What is run.
            run_id: The run's id.
            warn: Told, once, when they cannot be written.
        """
        self.directory: RunDirectory | None = None
        self.facts = JournalFacts()
        self._plan = plan
        self._run_id = run_id
        self._warn = warn
        self._journal: Journal | None = None
        self._series: SeriesRecorder | None = None

    def begin(self, loaded: Loaded, started_at: datetime) -> Journal:
        """Make the directory, with the plan as the first line of its journal.

        Raises:
            UsageError, ResourceError: It cannot be made.
        """
        self.directory = RunDirectory.create(self._plan.run_directory, loaded.name, started_at)
        self._journal = Journal(self.directory.journal, self._warn)
        self._series = SeriesRecorder(self.directory.series, self._warn)
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
            self._series.take(point)

    @property
    def records(self) -> int:
        """How many records the series was to have."""
        return self._series.records if self._series is not None else 0

    def missing(self) -> list[str]:
        """What could not be written, a sentence each."""
        assert self.directory is not None
        files = ((self.directory.series, self._series), (self.directory.journal, self._journal))
        return [f"{path.name}: {file.missing}" for path, file in files if file and file.missing]

    def discard(self) -> None:
        """Leave nothing: no user could start."""
        self._close()
        if self.directory is not None:
            self.directory.discard()

    def end(self, totals: RunTotals) -> tuple[Summary, ExitCode]:
        """Close what is open, and leave the summary and what is made of it.

        Args:
            totals: The sum of the run's seconds.

        Returns:
            The summary, and the run's exit code: when the run itself is fine, it says whether all
            could be written.
        """
        # Not needed while users run, who need not wait for it.
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
        """Have a file written; if that fails, the run is over all the same."""
        try:
            write(path)
        except AmocError as error:
            self._warn(str(error))
            return error.exit_code
        except OSError as error:
            self._warn(f"{path} cannot be written: {error.strerror or error}")
            return ExitCode.RESOURCE
        except Exception as error:
            self._warn(f"{path} cannot be written, an internal error of amoc: {error!r}")
            log.exception("%s", path)
            return ExitCode.INTERNAL
        return ExitCode.OK


def _write_junit(summary: Summary, path: Path) -> None:
    from amoc.results.export import junit  # with a parser of XML, which a run has no use for

    junit.write(summary, path)
