"""A run's answers to commands, as records; docs/control.md describes their JSON. Pure."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass

from amoc.base.json_plain import JsonObject


@dataclass(frozen=True)
class WorkerAnswer:
    """What a worker has done, as text."""

    worker: str
    text: str


@dataclass(frozen=True)
class WorkerUsers(WorkerAnswer):
    """The users of one worker; None if it has not answered."""

    alive: int | None = None
    queued: int | None = None


@dataclass(frozen=True, kw_only=True)
class Answer:
    """The part common to all answers.

    Attributes:
        summary: The whole answer in one line.
        workers: A text for each worker involved.
    """

    summary: str
    workers: Sequence[WorkerAnswer] = ()

    def to_json(self) -> JsonObject:
        """Return the fields by name, as sent over the control socket and written to the journal."""
        return asdict(self)


@dataclass(frozen=True, kw_only=True)
class StatusAnswer(Answer):
    """The answer to ``status``; `users` are counts by state."""

    state: str
    id: str
    scenario: str
    comment: str
    elapsed_s: float
    paused_s: float
    users: Mapping[str, int]
    nodes: Sequence[JsonObject]
    throttles: Sequence[JsonObject]
    coordinators: Sequence[JsonObject]
    barriers: Sequence[JsonObject]
    feeds: Sequence[JsonObject]


@dataclass(frozen=True, kw_only=True)
class UsersAnswer(Answer):
    """The answer to ``users``; `waiting` have not started yet."""

    alive: int
    waiting: int
    highest_id: int


@dataclass(frozen=True, kw_only=True)
class AddAnswer(Answer):
    """The answer to ``add``: the ids of the new users."""

    first_id: int
    last_id: int


@dataclass(frozen=True, kw_only=True)
class RemoveAnswer(Answer):
    """The answer to ``remove``; its counts are those of `amoc.users.removal.Removal`."""

    asked: int
    killed: int
    withdrawn: int
    not_again: int
    stuck: Sequence[int]
