"""What a server answers, as types; `docs/rest.md` says what each field means. Pure.

A field that a type does not have, of a later version say, is in `raw`.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import MISSING, dataclass, field, fields
from typing import Any, Self, TypeVar

from amoc.base.errors import PeerError
from amoc.base.json_plain import JsonObject
from amoc.client.figures import Timer

A = TypeVar("A", bound="Answer")


@dataclass(frozen=True, kw_only=True)
class Answer:
    """An answer, or a part of one.

    Attributes:
        raw: All of it, as the server said it.
    """

    raw: JsonObject = field(default_factory=dict, repr=False, compare=False)

    @classmethod
    def of(cls, data: object) -> Self:
        """From JSON.

        Raises:
            PeerError: Something is missing, so it is not a server of amoc that answers.
        """
        if not isinstance(data, Mapping):
            raise PeerError(f"the server's answer must be an object, got {type(data).__name__}")
        own = [one for one in fields(cls) if one.name != "raw"]
        for one in own:
            if one.name not in data and one.default is one.default_factory is MISSING:
                raise PeerError(f"the server's answer must have {one.name}, got {sorted(data)}")
        return cls(raw=data, **{one.name: data[one.name] for one in own if one.name in data})


def each(kind: type[A], data: object) -> tuple[A, ...]:
    """A list in an answer, as types.

    Raises:
        PeerError: It is none.
    """
    if not isinstance(data, Sequence) or isinstance(data, str):
        raise PeerError(f"the server's answer must have a list, got {type(data).__name__}")
    return tuple(map(kind.of, data))


@dataclass(frozen=True, kw_only=True)
class Started(Answer):
    """A run that was started, or queued; `run` is its id, `notes` what amoc told meanwhile."""

    run: str
    state: str
    notes: Sequence[str] = ()


@dataclass(frozen=True, kw_only=True)
class Preview(Answer):
    """What a run would do and when, as ``amoc plan --json`` has it.

    Attributes:
        settings: Each with its name, its value, and where from.
        users: Who starts when.
        end: When and how it would end.
        open: What cannot be known before the run.
    """

    scenario: str
    settings: Sequence[Mapping[str, Any]]
    users: Mapping[str, Any]
    end: Any
    open: Sequence[str]


@dataclass(frozen=True, kw_only=True)
class Done(Answer):
    """What a run answers to a command: `summary` says it in words."""

    run: str
    summary: str


@dataclass(frozen=True, kw_only=True)
class RunStatus(Answer):
    """A run that is running; `users` are counts by state."""

    run: str
    state: str
    scenario: str
    elapsed_s: float
    users: Mapping[str, int]


@dataclass(frozen=True, kw_only=True)
class Status(Answer):
    """The server.

    Attributes:
        state: ``idle``, or that of the newest run that runs.
        runs: Those that run.
        queued: Ids of those that wait.
        parallel: How many may run side by side.
        uploads: Whether scenarios may be uploaded.
        role: What we may do: ``read``, ``run`` or ``admin``.
    """

    version: str
    state: str
    runs: tuple[RunStatus, ...]
    queued: Sequence[str]
    parallel: int
    uploads: bool
    role: str

    @classmethod
    def of(cls, data: object) -> Status:
        """From JSON."""
        runs = each(RunStatus, data.get("runs")) if isinstance(data, Mapping) else ()
        return super().of({**data, "runs": runs} if isinstance(data, Mapping) else data)


@dataclass(frozen=True, kw_only=True)
class Node(Answer):
    """A node; `runs` are its shares of runs."""

    node: str
    state: str
    runs: Sequence[Mapping[str, Any]]


@dataclass(frozen=True, kw_only=True)
class RunInfo(Answer):
    """A run as it is listed.

    Attributes:
        state: ``queued``, ``starting``, ``running``, ``over``, or ``failed`` before a user started.
        verdict: As in its summary.
        users: The most that there were at once.
        error: Why it could not begin.
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
    error: str = ""

    @property
    def over(self) -> bool:
        """Whether nothing more will come of it."""
        return self.state in ("over", "failed")


@dataclass(frozen=True, kw_only=True)
class SettingInfo(Answer):
    """A setting that a scenario declares; `type` is a JSON schema."""

    name: str
    description: str
    type: Any = None
    choices: Sequence[Any] | None = None
    required: bool = False
    default: Any = None
    own: bool = True


@dataclass(frozen=True, kw_only=True)
class DependencyInfo(Answer):
    """A version that a scenario gets; `state` is ``amoc``, whose own it is, or ``installed``."""

    name: str
    version: str
    state: str


@dataclass(frozen=True, kw_only=True)
class ScenarioInfo(Answer):
    """What a scenario says of itself; `replaced`, of an upload, whether there was one before."""

    name: str
    doc: str
    settings: tuple[SettingInfo, ...]
    thresholds: Sequence[str]
    dependencies: tuple[DependencyInfo, ...]
    replaced: bool = False

    @classmethod
    def of(cls, data: object) -> ScenarioInfo:
        """From JSON."""
        if not isinstance(data, Mapping):
            return super().of(data)
        kinds: dict[str, type[Answer]] = {"settings": SettingInfo, "dependencies": DependencyInfo}
        return super().of({**data, **{key: each(one, data.get(key)) for key, one in kinds.items()}})


@dataclass(frozen=True, kw_only=True)
class Second(Answer):
    """A second of a run, with the fields of `docs/export.md`.

    Attributes:
        second: Its number, from 1.
        t_s: Its end, in seconds since the first user could start.
        span_s: How long it was.
        state: The run's state at its end.
        users: Counts by state.
        counters: By how much they grew.
        gauges: As they are at the end.
        timers: What they recorded.
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
        """From JSON."""
        if not isinstance(data, Mapping):
            return super().of(data)
        timers = data.get("timers", {})
        made = {name: _timer(name, one) for name, one in timers.items()}
        return super().of({**data, "timers": made})

    def per_s(self, counter: str) -> float:
        """How often a second something was counted in it."""
        return self.counters.get(counter, 0) / self.span_s if self.span_s else 0.0


def _timer(name: str, part: Mapping[str, float]) -> Timer:
    """A timer of one second, which tells its maximum in nanoseconds."""
    return Timer.of(name, {**part, "max_s": part.get("max_ns", 0) / 1e9})
