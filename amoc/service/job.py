"""Requested runs, and their files, so that a killed server forgets none.

There is one file per run in ``.queue`` below the directory of runs, written atomically. Once a run
has started its file is outdated: the run's own directory has the current state.
"""

from __future__ import annotations

import json
import logging
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING

from amoc.base import atomic_write
from amoc.base.json_plain import Json, JsonObject
from amoc.base.redaction import hide, holds_hidden
from amoc.results.run_list import FAILED, QUEUED, RUNNING, STARTING, ListedRun
from amoc.service.start_bodies import ReplayBody, StartBody

if TYPE_CHECKING:
    from amoc.service.run_process import RunProcess

log = logging.getLogger(__name__)

_NAME = ".queue"
_BODIES: dict[str, type[StartBody | ReplayBody]] = {
    one.verb: one for one in (StartBody, ReplayBody)
}
_CUT_OFF = "the server ended while this run was starting; start it again"


@dataclass
class Job:
    """A run that a client has requested, until its directory has all information about it.

    Attributes:
        id: Id of the run.
        scenario: The scenario, for messages.
        body: The request.
        asked_at: When it was requested.
        process: Its process, once started.
        state: ``queued``, ``starting``, ``running``, or ``failed`` before a user could start.
        error: Why it failed.
        awaited: Whether a client is waiting for it to start, and receives the error if it fails.
    """

    id: str
    scenario: str
    body: StartBody | ReplayBody
    asked_at: datetime
    process: RunProcess | None = None
    state: str = QUEUED
    error: str = ""
    awaited: bool = False

    @property
    def due_at(self) -> datetime:
        """The earliest time to start it."""
        return self.body.at or self.asked_at

    @property
    def is_active(self) -> bool:
        """Whether it counts towards the maximum number of parallel runs."""
        return self.state in (STARTING, RUNNING)

    def fail(self, error: str) -> None:
        """Mark it as failed to start."""
        self.state, self.error = FAILED, error

    def listed(self, directory: Path) -> ListedRun:
        """Return it in the form of other runs in a list."""
        started = "" if self.process is None else self.asked_at.isoformat()
        return ListedRun(
            self.id, str(directory), self.scenario, started, self.state, self.body.comment
        )

    def to_json(self) -> JsonObject:
        """Return what a later server needs to know about it, without secrets."""
        body = self.body.model_dump(mode="json", exclude_unset=True)
        body |= {name: hide(body[name]) for name in ("settings", "comment") if name in body}
        return {
            "asked_at": self.asked_at.isoformat(),
            "state": self.state,
            "error": self.error,
            "scenario": self.scenario,
            "verb": self.body.verb,
            "body": body,
        }

    @classmethod
    def from_json(cls, run: str, kept: Json) -> Job:
        """Restore the run `run` as an earlier server has saved it.

        Nothing is started twice: a run that was starting then has failed. So has a queued run with
        secrets among its settings, as these were not saved.

        Raises:
            ValueError: The data has not been made by `to_json`. Includes pydantic's errors.
            LookupError: Part of it is missing.
        """
        if not isinstance(kept, dict):
            raise ValueError("it must be a JSON object")
        verb, at, scenario, state, error = (
            str(kept[name]) for name in ("verb", "asked_at", "scenario", "state", "error")
        )
        body = _BODIES[verb].model_validate(kept["body"])
        job = cls(run, scenario, body, datetime.fromisoformat(at), state=state, error=error)
        if job.state == STARTING:
            job.fail(_CUT_OFF)
        hidden = [name for name, one in body.settings.items() if holds_hidden(one)]
        if job.state == QUEUED and hidden:
            names = ", ".join(hidden)
            job.fail(f"secrets are not saved when the server ends: {names}; start it again")
        elif job.state not in (QUEUED, FAILED):
            raise ValueError(f"state must be queued, starting or failed, got {job.state!r}")
        return job


class JobFiles:
    """The saved requests of a directory of runs."""

    def __init__(self, base: Path) -> None:
        self._place = base / _NAME

    def keep(self, job: Job) -> None:
        """Save the current state of a run.

        Raises:
            OSError: The file cannot be written.
        """
        self._place.mkdir(0o700, parents=True, exist_ok=True)
        atomic_write.write_json(self._file(job.id), job.to_json())

    def forget(self, run: str) -> None:
        """Remove the file of a run, if there is one."""
        self._file(run).unlink(missing_ok=True)

    def restore(self) -> list[Job]:
        """Return the runs that an earlier server has saved, in the order of their requests."""
        found = []
        for path in self._place.glob("*.json"):
            try:
                found.append(Job.from_json(path.stem, json.loads(path.read_bytes())))
            except (OSError, ValueError, LookupError) as error:
                log.error("%s cannot be read, so its run is not started: %s", path, error)
        return sorted(found, key=lambda job: job.asked_at)

    def _file(self, run: str) -> Path:
        return self._place / f"{run}.json"
