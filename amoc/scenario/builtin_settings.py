"""amoc's own settings: start rate of users, repetition of iterations, number of workers."""

from __future__ import annotations

import os
from math import inf
from typing import Annotated

from amoc.base.clock import parse_duration
from amoc.scenario.bounds import at_least, between
from amoc.scenario.conversion import Before
from amoc.scenario.load_profile import MAX_RATE
from amoc.scenario.settings import setting

_MAX_PER_MINUTE = 60 * MAX_RATE
_MIN_MS = 1000 / MAX_RATE
"""The same limit as an interval: user starts go through a throttle, which limits the rate."""


def _duration(unit: str, per_second: int) -> Before:
    """Read durations in `unit`, of which `per_second` make a second."""

    def read(raw: object) -> object:
        if isinstance(raw, str):
            try:
                return parse_duration(raw, bare_unit=unit) * per_second
            except ValueError as error:
                # Whoever resolves the setting adds the value and its source.
                raise ValueError(str(error).rpartition(", got ")[0]) from None
        if isinstance(raw, bool) or not isinstance(raw, int | float):
            raise ValueError("must be a duration such as 500ms or 30s")
        return raw

    return Before(read)


def _up_to_a_day_ms(value: float) -> None:
    if not (0 <= value <= 86_400_000 or value == inf):
        raise ValueError("must be from 0 to 86400000 ms, or infinity to hold all starts")
    if value and value < _MIN_MS:
        raise ValueError(f"must be at least {_MIN_MS:g} ms, or 0 for no limit")


def _rate_per_minute(value: float | None) -> None:
    if value is None:
        return
    if value and not value >= 1:
        raise ValueError("must be at least 1/min, or 0 to hold all starts")
    if _MAX_PER_MINUTE < value < inf:
        raise ValueError(f"must be at most {_MAX_PER_MINUTE}/min, or infinity for no limit")


def _whole(value: float) -> None:
    if not value >= 1 or (value < inf and value != int(value)):
        raise ValueError("must be a whole number from 1, or infinity")


Milliseconds = Annotated[float, _duration("ms", 1000)]
"""A number without a unit is in milliseconds, as in the original amoc."""
Seconds = Annotated[float, _duration("s", 1)]

interarrival = setting(
    50.0,
    "Interval between user starts: milliseconds, or with a unit (50ms, 1s); 0: no limit,"
    " infinity: no starts",
    type=Milliseconds,
    verify=_up_to_a_day_ms,
    update="free",
)
user_rate = setting(
    None,
    "User starts per minute over the whole run (0: no starts, infinity: no limit); overrides"
    " interarrival",
    type=float | None,
    verify=_rate_per_minute,
    update="free",
)
repeat_interval = setting(
    60_000.0,
    "Pause between a user's iterations: milliseconds, or with a unit (500ms, 60s)",
    type=Milliseconds,
    verify=at_least(0),
    update="free",
)
crash_pause = setting(
    1.0,
    "Mean pause after an iteration that crashed: seconds, or with a unit; it doubles with each"
    " further crash in a row, up to 10 s",
    type=Seconds,
    # Without a pause, users that crash immediately would keep their worker busy.
    verify=between(0.1, 86_400, "from 100ms to 1d"),
    update="free",
)
repeat_num = setting(
    float("inf"),
    "Iterations per user, that is calls of start() (infinity: until the run ends)",
    verify=_whole,
    update="free",
)
workers = setting(
    len(os.sched_getaffinity(0)),
    "Worker processes per node; by default one per CPU core",
    verify=between(1, 512),
)
workers.early = True  # the board is sized for them before a process exists for the scenario
