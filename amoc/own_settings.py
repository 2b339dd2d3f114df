"""amoc's own settings: how users start, how often they repeat, how many workers there are."""

from __future__ import annotations

import os
from typing import Annotated, Any

from pydantic import BeforeValidator

from amoc.settings import setting
from amoc.timing import parse_duration


def _duration_ms(raw: Any) -> Any:
    # A bare number is milliseconds, as in the original amoc.
    return parse_duration(raw, bare_unit="ms") if isinstance(raw, str) else raw / 1000


def _at_least(least: float, what: str) -> Any:
    def check(value: float | None) -> None:
        if value is not None and not value >= least:
            raise ValueError(f"must be at least {what}")

    return check


def _from_1_to_512(number: int) -> None:
    if not 1 <= number <= 512:
        raise ValueError("must be from 1 to 512")


interarrival = setting(
    50.0,
    "Milliseconds between two user starts on a node",
    verify=_at_least(0, "0 ms"),
    update="free",
)
user_rate = setting(
    None,
    "User starts per minute over the whole run (infinity: no limit); rules over interarrival",
    type=float | None,
    verify=_at_least(1, "1/min"),
    update="free",
)
repeat_interval = setting(
    60_000,
    "Pause of a user between two runs of start(): 60s, 500ms; a bare number is milliseconds",
    type=Annotated[float, BeforeValidator(_duration_ms)],
    verify=_at_least(0, "0"),
    update="free",
)
repeat_num = setting(
    float("inf"),
    "How many times a user runs start() (infinity: until the run ends)",
    verify=_at_least(1, "1"),
    update="free",
)
workers = setting(
    len(os.sched_getaffinity(0)),
    "Worker processes on each node; by default one per CPU core",
    verify=_from_1_to_512,
)
