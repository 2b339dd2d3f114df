"""Figures of a run for programs: durations in seconds, by name. Pure.

`docs/summary.md` documents the summary fields that they come from.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, fields
from typing import Self, TypeVar

from amoc.base.text import suggestion
from amoc.results.summary_types import StepPart

T = TypeVar("T")


class Named(dict[str, T]):
    """Figures by name. A missing name is a `KeyError` that suggests existing ones."""

    def __init__(self, what: str, found: Mapping[str, T]) -> None:
        super().__init__(found)
        self._what = what

    def __missing__(self, name: str) -> T:
        raise KeyError(f"the run has no {self._what} {name!r}; {suggestion(str(name), self)}")


@dataclass(frozen=True)
class _Part:
    """A part of a summary."""

    @classmethod
    def of(cls, part: Mapping[str, object], **more: object) -> Self:
        """Create the object from a part of a summary and additional fields."""
        return cls(**{one.name: part[one.name] for one in fields(cls) if one.name in part}, **more)


@dataclass(frozen=True)
class Failure(_Part):
    """Failed executions of a request with the same cause.

    Attributes:
        request: Name of the request.
        cause: Cause of failure: ``status 503``.
        count: Number of failures.
        first_s: Time of the first one, in seconds since the first user could start.
        last_s: Time of the last one.
        user_id: A user that was affected.
        message: Details of one of them.
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
    """Statistics of durations, in seconds; None if nothing was recorded."""

    mean: float | None = None
    p50: float | None = None
    p90: float | None = None
    p95: float | None = None
    p99: float | None = None
    p999: float | None = None
    max: float | None = None


@dataclass(frozen=True, kw_only=True)
class Timer(Times):
    """Statistics of a timer with `count` durations."""

    name: str
    count: int

    @classmethod
    def of(cls, name: str, part: Mapping[str, float]) -> Timer:
        """Create the object from a summary."""
        count = int(part.get("count", 0))
        return cls(name=name, count=count, **times(part if count else {}))


@dataclass(frozen=True, kw_only=True)
class Request(Times):
    """A step of the scenario, or all requests together (``Aggregated``).

    The times are those of successful executions.

    Attributes:
        count: Executions, including failed ones.
        failures: Failed executions.
        failed_share: Share of failed executions, from 0 to 1; None without an execution.
        per_s: Executions per second while the run was running.
        bytes: Bytes read, if known.
        response: Times from the intended starts, under a throttle or an arrival rate.
        causes: Causes of failure, most frequent first.
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
        """Create the object from a summary."""
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
    """Return the durations of a summary by their names here: ``p95_s`` becomes ``p95``."""
    return {name: part.get(f"{name}_s") for name in Times.__dataclass_fields__}


@dataclass(frozen=True)
class Check(_Part):
    """Results of a check. `passed_share` is None if the check was never made."""

    name: str
    passed: int
    failed: int
    passed_share: float | None


@dataclass(frozen=True)
class Threshold(_Part):
    """A threshold and its outcome.

    Attributes:
        expression: As it was given: ``login.p95 < 200ms``.
        source: Where it was given: ``--expect``, or the scenario.
        passed: Whether it passed.
        value: The measured value; None without a sample.
        value_text: The measured value with its unit.
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
    """Iterations that crashed with the same cause, and the traceback of one of them."""

    cause: str
    count: int
    user_id: int = 0
    traceback: str = ""


@dataclass(frozen=True)
class Users:
    """Numbers of users by outcome, see `docs/summary.md`; `crashed` counts iterations."""

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
        """Create the object from a summary."""
        return cls(**{name: int(part.get(name, 0)) for name in cls.__dataclass_fields__})
