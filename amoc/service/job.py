"""A run that the daemon was asked for."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

from amoc.results.run_list import ListedRun
from amoc.service.requests import StartBody
from amoc.service.run_process import RunProcess


@dataclass
class Job:
    """A run that the daemon was asked for, until its directory says all that there is to say.

    Attributes:
        id: The run's.
        body: What was asked for.
        scenario: The file.
        asked_at: When.
        process: Once it is started.
        state: ``queued``, ``starting``, ``running``, or ``failed`` before a user could start.
        error: Why it failed.
        awaited: Whether somebody waits for it to begin, and is told why it does not.
    """

    id: str
    body: StartBody
    scenario: Path
    asked_at: datetime
    process: RunProcess | None = None
    state: str = "queued"
    error: str = ""
    awaited: bool = False

    @property
    def due_at(self) -> datetime:
        """When it is to start, at the earliest."""
        return self.body.at or self.asked_at

    def listed(self, directory: Path) -> ListedRun:
        """The run as others are listed."""
        started = "" if self.process is None else self.asked_at.isoformat()
        return ListedRun(
            self.id, str(directory), self.body.scenario, started, self.state, self.body.comment
        )
