"""A run that the server was asked for."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

from amoc.base.json_plain import JsonObject
from amoc.base.redaction import hide, holds_hidden
from amoc.results.run_list import FAILED, QUEUED, RUNNING, STARTING, ListedRun
from amoc.service.start_bodies import ReplayBody, StartBody

if TYPE_CHECKING:
    from amoc.service.run_process import RunProcess

_BODIES: dict[str, type[StartBody | ReplayBody]] = {
    one.verb: one for one in (StartBody, ReplayBody)
}
_CUT_OFF = "the server ended while this run was starting; start it again"


@dataclass
class Job:
    """A run that the server was asked for, until its directory says all that there is to say.

    Attributes:
        id: The run's.
        scenario: What is run, for people.
        body: What was asked for.
        asked_at: When.
        process: Once it is started.
        state: ``queued``, ``starting``, ``running``, or ``failed`` before a user could start.
        error: Why it failed.
        awaited: Whether somebody waits for it to begin, and is told why it does not.
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
        """When it is to start, at the earliest."""
        return self.body.at or self.asked_at

    @property
    def is_active(self) -> bool:
        """Whether it takes one of the places of runs that run."""
        return self.state in (STARTING, RUNNING)

    def fail(self, error: str) -> None:
        """It could not begin."""
        self.state, self.error = FAILED, error

    def listed(self, directory: Path) -> ListedRun:
        """The run as others are listed."""
        started = "" if self.process is None else self.asked_at.isoformat()
        return ListedRun(
            self.id, str(directory), self.scenario, started, self.state, self.body.comment
        )

    def to_json(self) -> JsonObject:
        """What a later server has to know of it; secrets are hidden."""
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
    def from_json(cls, run: str, kept: Any) -> Job:
        """The run with the id `run` as an earlier server has left it.

        Nothing starts twice: one that was starting then has failed, and so has one whose settings
        are not all known.

        Raises:
            ValueError: That is not what `to_json` makes; of pydantic's too.
            LookupError: A part of it is missing.
        """
        body = _BODIES[kept["verb"]].model_validate(kept["body"])
        asked_at = datetime.fromisoformat(kept["asked_at"])
        scenario, error = str(kept["scenario"]), str(kept["error"])
        job = cls(run, scenario, body, asked_at, state=kept["state"], error=error)
        if job.state == STARTING:
            job.fail(_CUT_OFF)
        hidden = [name for name, one in body.settings.items() if holds_hidden(one)]
        if job.state == QUEUED and hidden:
            names = ", ".join(hidden)
            job.fail(f"secrets are not kept when the server ends: {names}; start it again")
        elif job.state not in (QUEUED, FAILED):
            raise ValueError(f"state must be queued, starting or failed, got {job.state!r}")
        return job
