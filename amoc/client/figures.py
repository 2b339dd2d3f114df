"""The figures of a run as a program reads them: durations in seconds, by name. Pure.

They say what `docs/summary.md` says of the fields that they are made of.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, fields
from typing import Any, Self, TypeVar

from amoc.base.text import suggestion
from amoc.results.summary_types import StepPart

T = TypeVar("T")


class Named(dict[str, T]):
    """Figures by name; a name that is not there is a `KeyError` that says which are."""

    def __init__(self, what: str, found: Mapping[str, T]) -> None:
        super().__init__(found)
        self._what = what

    def __missing__(self, name: str) -> T:
        raise KeyError(f"the run has no {self._what} {name!r}; {suggestion(str(name), self)}")


@dataclass(frozen=True)
class _Part:
    """What a summary says of one thing."""

    @classmethod
    def of(cls, part: Mapping[str, Any], **more: object) -> Self:
        """From a part of a summary, and what is not in itself."""
        return cls(**{one.name: part[one.name] for one in fields(cls) if one.name in part}, **more)


@dataclass(frozen=True)
class Failure(_Part):
    """Executions of a request that failed for one cause.

    Attributes:
        request: Of which request.
        cause: Why: ``status 503``.
        count: How many.
        first_s: When it happened first, since the first user could start.
        last_s: When it happened last.
        user_id: A user to whom it happened.
        message: What it was told.
    """

    request: str
    cause: str
    count: int
    first_s: float
    last_s: float
    user_id: int
    message: str


@dataclass(frozen=True, kw_only=True)
class Times:
    """Statistics of durations, in seconds; None where nothing was recorded."""

    mean: float | None = None
    p50: float | None = None
    p90: float | None = None
    p95: float | None = None
    p99: float | None = None
    p999: float | None = None
    max: float | None = None


@dataclass(frozen=True, kw_only=True)
class Timer(Times):
    """A timer: `count` durations."""

    name: str
    count: int

    @classmethod
    def of(cls, name: str, part: Mapping[str, float]) -> Timer:
        """From a summary."""
        count = int(part.get("count", 0))
        return cls(name=name, count=count, **times(part if count else {}))


@dataclass(frozen=True, kw_only=True)
class Request(Times):
    """A step of the scenario, or all requests together (``Aggregated``).

    Its times are those of executions that succeeded.

    Attributes:
        count: Executions, those that failed included.
        failures: Those that failed.
        failed_share: Their share, from 0 to 1; None without an execution.
        per_s: Executions per second while the run was running.
        bytes: Bytes read, where that is known.
        response: Times from the intended starts, under a throttle or an arrival rate.
        causes: Why they failed, the most frequent cause first.
    """

    name: str
    count: int
    failures: int
    failed_share: float | None
    per_s: float | None
    bytes: int
    response: Times
    causes: tuple[Failure, ...]

    @classmethod
    def of(cls, name: str, part: StepPart) -> Request:
        """From a summary."""
        return cls(
            name=name,
            count=part["count"],
            failures=part["failures"],
            failed_share=part["failed_share"],
            per_s=part["per_s"],
            bytes=part["bytes"],
            **times(part["times"]),
            response=Times(**times(part.get("response", {}))),
            causes=tuple(Failure.of(one, request=name) for one in part["causes"]),
        )


def times(part: Mapping[str, float | None]) -> dict[str, float | None]:
    """The durations of a summary by the names that they have here: ``p95_s`` is ``p95``."""
    return {name: part.get(f"{name}_s") for name in Times.__dataclass_fields__}


@dataclass(frozen=True)
class Check(_Part):
    """A check of the scenario: how often it passed, and its share; None if it was never made."""

    name: str
    passed: int
    failed: int
    passed_share: float | None


@dataclass(frozen=True)
class Threshold(_Part):
    """A threshold and what came of it.

    Attributes:
        expression: As it was given: ``login.p95 < 200ms``.
        source: Where: ``--expect``, or the scenario.
        passed: Whether it passed.
        value: What was measured; None without a sample.
        value_text: The same with its unit.
        reason: Why it failed.
    """

    expression: str
    source: str
    passed: bool
    value: float | None
    value_text: str
    reason: str


@dataclass(frozen=True)
class Crash(_Part):
    """Iterations that raised for one cause, and the traceback of one of them."""

    cause: str
    count: int
    user_id: int = 0
    traceback: str = ""


@dataclass(frozen=True)
class Users:
    """What became of the users, see `docs/summary.md`; `crashed` counts iterations."""

    started: int = 0
    finished: int = 0
    crashed: int = 0
    removed: int = 0
    timed_out: int = 0
    lost: int = 0
    not_started: int = 0
    restarted: int = 0
    peak: int = 0
    running: int = 0

    @classmethod
    def of(cls, part: Mapping[str, float]) -> Users:
        """From a summary."""
        return cls(**{name: int(part.get(name, 0)) for name in cls.__dataclass_fields__})
