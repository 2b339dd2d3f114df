"""Types of option values. An error message is a clause that follows the option's name."""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeVar

import click

from amoc.base.clock import parse_duration
from amoc.scenario import cluster
from amoc.scenario.arrivals import Arrivals
from amoc.scenario.load_profile import lasting_stages
from amoc.users import placement_strategies

MAX_ID = 1 << 32
FOR_EVER_S = 1e8
"""Stands for an infinite timeout: three years, which fit where infinity does not."""

T = TypeVar("T")


class Parsed(click.ParamType[T]):
    """An option type whose values are parsed by a function."""

    def __init__(self, name: str, parse: Callable[[str], T]) -> None:
        """Use `parse` to read the text. It raises ValueError, with a clause, for invalid text."""
        self.name = name
        self._parse = parse

    # click passes defaults as they were declared, of any type.
    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> T:
        """Return the value, or raise a usage error."""
        if not isinstance(value, str):
            return value  # type: ignore[no-any-return]  # an option's default is a T
        try:
            return self._parse(value)
        except ValueError as error:
            self.fail(str(error), param, ctx)


def duration(zero: bool = False, hint: str = "") -> Parsed[float]:
    """Return the type of durations such as ``30s``, in seconds.

    Args:
        zero: Whether 0 is allowed.
        hint: Text to append to errors.
    """

    def parse(text: str) -> float:
        try:
            seconds = parse_duration(text)
            if seconds == 0 and not zero:
                raise ValueError(f"must be above 0, got {text!r}")
        except ValueError as error:
            raise ValueError(f"{error}{hint}") from None
        return min(seconds, FOR_EVER_S)

    return Parsed("duration", parse)


def whole(least: int, most: int) -> Parsed[int]:
    """Return the type of whole numbers from `least` to `most`."""

    def parse(text: str) -> int:
        if not re.fullmatch(r"[+-]?\d{1,20}", text) or not least <= int(text) <= most:
            raise ValueError(f"must be a whole number from {least} to {most}, got {text!r}")
        return int(text)

    return Parsed("n", parse)


def _user_ids(text: str) -> range:
    found = re.fullmatch(r"(\d{1,20})-(\d{1,20})", text)
    if not found or not 1 <= int(found[1]) <= int(found[2]) <= MAX_ID:
        raise ValueError(f"must be A-B with 1 <= A <= B <= {MAX_ID}, got {text!r}")
    return range(int(found[1]), int(found[2]) + 1)


def _cluster(text: str) -> str:
    cluster.parse(text)
    return text


CLUSTERS = Parsed("cluster", _cluster)
"""``local:3``; the syntax of `amoc.scenario.cluster`."""
PLACEMENTS = Parsed("placement", placement_strategies.checked)
"""``blocks``, or the name of an installed strategy."""
PATH = Parsed("path", Path)
"""A file or directory that need not exist."""
STAGES = Parsed("stages", lasting_stages)
"""``30s:100,2m:1000``."""
ARRIVALS = Parsed("rate", Arrivals.parse)
"""``200/s``, or stages of rates."""
USER_IDS = Parsed("a-b", _user_ids)
"""``A-B`` as a range of user ids."""
