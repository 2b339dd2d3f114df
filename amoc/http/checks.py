"""Pure. Checks of a response: the first unmet expectation, as a cause and a message."""

from __future__ import annotations

import json as _json
from collections.abc import Iterable, Mapping
from typing import Final, NamedTuple, Protocol

from amoc.base.text import cut

MISSING: Final = object()
"""Marks a JSON path that leads to nothing."""


class Seen(Protocol):
    """The parts of a response that checks read."""

    @property
    def status(self) -> int: ...  # noqa: D102
    @property
    def text(self) -> str: ...  # noqa: D102
    @property
    def elapsed_s(self) -> float: ...  # noqa: D102
    @property
    def headers(self) -> Mapping[str, str]: ...  # noqa: D102
    def json(self) -> object: ...  # noqa: D102


class Problem(NamedTuple):
    """An unmet expectation."""

    cause: str
    message: str


def problem_of(
    answer: Seen,
    status: int | Iterable[int] | None = None,
    contains: str | Iterable[str] | None = None,
    json: Mapping[str, object] | None = None,
    headers: Mapping[str, str] | None = None,
    faster_than: float | None = None,
) -> Problem | None:
    """Return the first unmet expectation, or None. Arguments that are None are not checked."""
    if status is not None and answer.status != status:
        wanted = (status,) if isinstance(status, int) else tuple(status)
        if answer.status not in wanted:
            return Problem("check status", f"expected {status}, got {answer.status}")
    if faster_than is not None and answer.elapsed_s >= faster_than:
        took = f"expected less than {faster_than:g} s, took {answer.elapsed_s:.3f} s"
        return Problem("check faster_than", took)
    for name, value in headers.items() if headers else ():
        got = answer.headers.get(name)
        if got != value:
            return Problem(f"check header {name}", f"expected {cut(value)}, got {cut(got)}")
    if contains is not None:
        for one in [contains] if isinstance(contains, str) else contains:
            if one not in answer.text:
                return Problem("check contains", f"{cut(one)} is not in {cut(answer.text)}")
    return _json_problem(answer, json) if json is not None else None


def _json_problem(answer: Seen, wanted: Mapping[str, object]) -> Problem | None:
    try:
        value = answer.json()
    except ValueError as error:
        return Problem("check json", f"no JSON ({error}): {cut(answer.text)}")
    for path, expected in wanted.items():
        got = at(value, path)
        if got is MISSING:
            return Problem(f"check json {path}", f"expected {cut(expected)}, is not there")
        if got != expected:
            return Problem(f"check json {path}", f"expected {cut(expected)}, got {cut(got)}")
    return None


def at(value: object, path: str) -> object:
    """Return the value at a path such as ``items.0.price``; `MISSING` if there is none."""
    for part in path.split(".") if path else ():
        if isinstance(value, dict) and part in value:
            value = value[part]
        elif isinstance(value, list) and part.lstrip("-").isdecimal():
            index = int(part)
            if not -len(value) <= index < len(value):
                return MISSING
            value = value[index]
        else:
            return MISSING
    return value


def parsed(body: bytes) -> object:
    """Return a body parsed as JSON; raises ValueError."""
    return _json.loads(body)
