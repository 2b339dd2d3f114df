"""Types of option values; an error is a clause that follows the option's name."""

from __future__ import annotations

import re
from typing import Any

import click

from amoc.base.clock import parse_duration
from amoc.scenario.load_profile import Stages

MAX_ID = 1 << 32
FOR_EVER_S = 1e8
"""An infinite timeout is three years, which fit where infinity does not."""


class Duration(click.ParamType[float]):
    """Text such as ``30s`` as seconds, above zero."""

    name = "duration"

    def __init__(self, zero: bool = False) -> None:
        """Allow `zero`, or not."""
        self._zero = zero

    def convert(
        self, value: Any, param: click.Parameter | None, ctx: click.Context | None
    ) -> float:
        """Seconds, or a usage error."""
        try:
            seconds = parse_duration(value) if isinstance(value, str) else float(value)
        except ValueError as error:
            self.fail(str(error), param, ctx)
        if seconds == 0 and not self._zero:
            self.fail(f"must be above 0, got {value!r}", param, ctx)
        return min(seconds, FOR_EVER_S)


class Whole(click.ParamType[int]):
    """A whole number within bounds."""

    name = "n"

    def __init__(self, least: int, most: int) -> None:
        """Allow `least` to `most`."""
        self._bounds = least, most

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> int:
        """The number, or a usage error."""
        least, most = self._bounds
        if not re.fullmatch(r"[+-]?\d{1,20}", str(value)) or not least <= int(value) <= most:
            text = f"must be a whole number from {least} to {most}, got {str(value)!r}"
            self.fail(text, param, ctx)
        return int(value)


class Profile(click.ParamType[Stages]):
    """Stages of a number of users: ``30s:100,2m:1000``."""

    name = "stages"

    def convert(
        self, value: Any, param: click.Parameter | None, ctx: click.Context | None
    ) -> Stages:
        """The stages, or a usage error."""
        if isinstance(value, Stages):
            return value
        try:
            stages = Stages.parse(value)
        except ValueError as error:
            self.fail(str(error), param, ctx)
        if not stages.total_ns:
            self.fail(f"must have a total duration above 0 s, got {value!r}", param, ctx)
        return stages


class UserIds(click.ParamType[range]):
    """``A-B`` as a range of user ids."""

    name = "a-b"

    def convert(
        self, value: Any, param: click.Parameter | None, ctx: click.Context | None
    ) -> range:
        """The ids, or a usage error."""
        if isinstance(value, range):
            return value
        found = re.fullmatch(r"(\d{1,20})-(\d{1,20})", value)
        if not found or not 1 <= int(found[1]) <= int(found[2]) <= MAX_ID:
            text = f"must be A-B with 1 <= A <= B <= {MAX_ID}, got {value!r}"
            self.fail(text, param, ctx)
        return range(int(found[1]), int(found[2]) + 1)
