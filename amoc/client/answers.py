"""Responses of a server as types. `docs/rest.md` documents the fields. Pure.

Fields that a type does not have, for example those of a later version, are in `raw`.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import MISSING, dataclass, field, fields
from typing import ClassVar, Self, TypeVar

from amoc.base.errors import PeerError
from amoc.base.json_plain import Json, JsonObject
from amoc.client.figures import Timer

A = TypeVar("A", bound="Answer")


@dataclass(frozen=True, kw_only=True)
class Answer:
    """A response, or part of one.

    Attributes:
        raw: The JSON object as the server sent it.
    """

    raw: JsonObject = field(default_factory=dict, repr=False, compare=False)
    lists: ClassVar[Mapping[str, type[Answer]]] = {}
    """Fields that are lists of objects, with their types."""

    @classmethod
    def of(cls, data: object) -> Self:
        """Create the object from JSON.

        Raises:
            PeerError: A field is missing, so this is not a response of an amoc server.
        """
        if not isinstance(data, Mapping):
            raise PeerError(f"the server's answer must be an object, got {type(data).__name__}")
        made = {**data, **{name: each(kind, data.get(name)) for name, kind in cls.lists.items()}}
        own = [one for one in fields(cls) if one.name != "raw"]
        for one in own:
            if one.name not in made and one.default is one.default_factory is MISSING:
                raise PeerError(f"the server's answer must have {one.name}, got {sorted(data)}")
        return cls(raw=made, **{one.name: made[one.name] for one in own if one.name in made})


def each(kind: type[A], data: object) -> tuple[A, ...]:
    """Create objects from a list in a response.

    Raises:
        PeerError: It is not a list.
    """
    if not isinstance(data, Sequence) or isinstance(data, str):
        raise PeerError(f"the server's answer must have a list, got {type(data).__name__}")
    return tuple(map(kind.of, data))


@dataclass(frozen=True, kw_only=True)
class Started(Answer):
    """A started or queued run. `run` is its id, `notes` are messages of amoc such as warnings."""

    run: str
    state: str
    notes: Sequence[str] = ()


@dataclass(frozen=True, kw_only=True)
class Preview(Answer):
    """A preview of a run, as printed by ``amoc plan --json``.

    Attributes:
        settings: Name, value and source of each setting.
        users: Which users start, and when.
        end: When and how the run would end.
        open: What cannot be known before the run.
    """

    scenario: str
    settings: Sequence[JsonObject]
    users: JsonObject
    end: Json
    open: Sequence[str]


@dataclass(frozen=True, kw_only=True)
class Done(Answer):
    """A run's answer to a command; `summary` is the answer as text."""

    run: str
    summary: str


@dataclass(frozen=True, kw_only=True)
class RunStatus(Answer):
    """The status of a running run; `users` are counts by state."""

    run: str
    state: str
    scenario: str
    elapsed_s: float
    users: Mapping[str, int]


@dataclass(frozen=True, kw_only=True)
class Status(Answer):
    """The status of the server.

    Attributes:
        state: ``idle``, or the state of the newest running run.
        runs: The running runs.
        queued: Ids of the queued runs.
        parallel: Maximum number of runs at the same time.
        uploads: Whether scenarios may be uploaded.
        role: Role of this client: ``read``, ``run`` or ``admin``.
    """

    lists: ClassVar = {"runs": RunStatus}
    version: str
    state: str
    runs: tuple[RunStatus, ...]
    queued: Sequence[str]
    parallel: int
    uploads: bool
    role: str


@dataclass(frozen=True, kw_only=True)
class Node(Answer):
    """A node; `runs` are its shares of runs."""

    node: str
    state: str
    runs: Sequence[JsonObject]


@dataclass(frozen=True, kw_only=True)
class RunInfo(Answer):
    """A run in a list.

    Attributes:
        state: ``queued``, ``starting``, ``running``, ``over``, or ``failed`` before a user started.
        verdict: As in its summary.
        users: Maximum number of concurrent users.
        p95_s: 95th percentile of successful requests.
        error: Why it failed to start.
    """

    id: str
    scenario: str
    started_at: str
    state: str
    verdict: str
    comment: str = ""
    duration_s: float | None = None
    users: int | None = None
    requests: int | None = None
    failures: int | None = None
    p95_s: float | None = None
    error: str = ""

    @property
    def over(self) -> bool:
        """Whether the run has ended, or failed to start."""
        return self.state in ("over", "failed")


@dataclass(frozen=True, kw_only=True)
class SettingInfo(Answer):
    """A setting that a scenario declares; `type` is a JSON schema."""

    name: str
    description: str
    type: Json = None
    choices: Sequence[Json] | None = None
    required: bool = False
    default: Json = None
    own: bool = True


@dataclass(frozen=True, kw_only=True)
class DependencyInfo(Answer):
    """A dependency of a scenario; `state` is ``amoc`` (in its environment) or ``installed``."""

    name: str
    version: str
    state: str


@dataclass(frozen=True, kw_only=True)
class ScenarioInfo(Answer):
    """The description of a scenario; `replaced` says whether an upload replaced another one.

    `problem` says why a server that was not to install its dependencies could not load it.
    """

    lists: ClassVar = {"settings": SettingInfo, "dependencies": DependencyInfo}
    name: str
    doc: str
    settings: tuple[SettingInfo, ...]
    thresholds: Sequence[str]
    dependencies: tuple[DependencyInfo, ...]
    replaced: bool = False
    problem: str = ""


@dataclass(frozen=True, kw_only=True)
class Second(Answer):
    """A second of a run, with the fields of `docs/export.md`.

    Attributes:
        second: Its number, from 1.
        t_s: Its end, in seconds since the first user could start.
        span_s: Its exact length in seconds.
        state: State of the run at its end.
        users: Counts by state.
        counters: Increments.
        gauges: Values at its end.
        timers: Durations recorded in it.
    """

    second: int
    t_s: float
    span_s: float
    state: str
    users: Mapping[str, int]
    counters: Mapping[str, int] = field(default_factory=dict)
    gauges: Mapping[str, float | None] = field(default_factory=dict)
    timers: Mapping[str, Timer] = field(default_factory=dict)

    @classmethod
    def of(cls, data: object) -> Second:
        """Create the object from JSON."""
        if not isinstance(data, Mapping):
            return super().of(data)
        timers = data.get("timers", {})
        made = {name: _timer(name, one) for name, one in timers.items()}
        return super().of({**data, "timers": made})

    def per_s(self, counter: str) -> float:
        """Return the rate of a counter per second."""
        return self.counters.get(counter, 0) / self.span_s if self.span_s else 0.0


def _timer(name: str, part: Mapping[str, float]) -> Timer:
    """Create the timer of a second, whose maximum is given in nanoseconds."""
    return Timer.of(name, {**part, "max_s": part.get("max_ns", 0) / 1e9})
