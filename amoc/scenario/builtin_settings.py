"""amoc's own settings.

How users start, how often they repeat, how many workers there are, where figures go.
"""

from __future__ import annotations

import os
import re
from math import inf
from typing import Annotated, Any
from urllib.parse import urlsplit

from pydantic import BeforeValidator

from amoc.base.clock import parse_duration
from amoc.scenario.load_profile import MAX_RATE
from amoc.scenario.settings import setting

_MAX_PER_MINUTE = 60 * MAX_RATE
_MIN_MS = 1000 / MAX_RATE
"""The same between two starts: user starts go through a throttle, which knows no higher rate."""
_HOST = re.compile(r"([\w.-]+|[0-9a-fA-F:.]+(%\w+)?)?")
_ADDRESS = re.compile(r"[!-~]+")
"""`urlsplit` passes over control characters, and HTTP does not."""
_AN_ADDRESS = "must be an address such as http://127.0.0.1:8080"
_PREFIX = re.compile(r"([A-Za-z0-9_-]+(\.[A-Za-z0-9_-]+)*)?")


def _duration_ms(raw: Any) -> Any:
    # A bare number is milliseconds, as in the original amoc.
    if isinstance(raw, str):
        try:
            return parse_duration(raw, bare_unit="ms") * 1000
        except ValueError as error:
            # The value is named once, and with its source, by whoever resolves the setting.
            raise ValueError(str(error).rpartition(", got ")[0]) from None
    if isinstance(raw, bool) or not isinstance(raw, int | float):
        raise ValueError("must be a duration such as 500ms or 30s")
    return raw


def _not_negative(value: float) -> None:
    if not value >= 0:
        raise ValueError("must be at least 0")


def _up_to_a_day_ms(value: float) -> None:
    if not 0 <= value <= 86_400_000:
        raise ValueError("must be from 0 to 86400000 ms")
    if value and value < _MIN_MS:
        raise ValueError(f"must be at least {_MIN_MS:g} ms, or 0 for no limit")


def _rate_per_minute(value: float | None) -> None:
    if value is None:
        return
    if not value >= 1:
        raise ValueError("must be at least 1/min")
    if _MAX_PER_MINUTE < value < inf:
        raise ValueError(f"must be at most {_MAX_PER_MINUTE}/min, or infinity for no limit")


def _whole(value: float) -> None:
    if not value >= 1 or (value < inf and value != int(value)):
        raise ValueError("must be a whole number from 1, or infinity")


def _port(number: int) -> None:
    if not 1 <= number <= 65_535:
        raise ValueError("must be from 1 to 65535")


def _port_or_0(number: int) -> None:
    if not 0 <= number <= 65_535:
        raise ValueError("must be from 1 to 65535, or 0 for none")


def _host(text: str) -> None:
    if not _HOST.fullmatch(text):
        raise ValueError("must be a name or an address, without a port")


def _listen(text: str) -> None:
    if not text:
        raise ValueError("must be an address; 0.0.0.0 is all of this host's")
    _host(text)


def _prefix(text: str) -> None:
    if not _PREFIX.fullmatch(text):
        raise ValueError("must be letters, digits, '_' and '-', in parts with dots between them")


def _web(text: str) -> None:
    if not text:
        return
    if not _ADDRESS.fullmatch(text):
        raise ValueError("must be an address without blanks, and with %-codes beyond ASCII")
    try:
        parts = urlsplit(text)
        _port(80 if parts.port is None else parts.port)
    except ValueError:  # brackets that do not match, or a port that is none
        raise ValueError(f"{_AN_ADDRESS}, with a port from 1 to 65535 if any") from None
    if parts.scheme not in ("http", "https") or not parts.hostname:
        raise ValueError(_AN_ADDRESS)
    if parts.username is not None or parts.query or parts.fragment:
        raise ValueError("must be an address without user, query or fragment, for it is shown")


def _from_1_to_512(number: int) -> None:
    if not 1 <= number <= 512:
        raise ValueError("must be from 1 to 512")


_Milliseconds = Annotated[float, BeforeValidator(_duration_ms)]

interarrival = setting(
    50.0,
    "Milliseconds between two user starts on a node; 50ms and 1s work too",
    type=_Milliseconds,
    verify=_up_to_a_day_ms,
    update="free",
)
user_rate = setting(
    None,
    "User starts per minute over the whole run (infinity: no limit); rules over interarrival",
    type=float | None,
    verify=_rate_per_minute,
    update="free",
)
repeat_interval = setting(
    60_000.0,
    "Milliseconds that a user pauses between two runs of start(); 500ms and 60s work too",
    type=_Milliseconds,
    verify=_not_negative,
    update="free",
)
repeat_num = setting(
    float("inf"),
    "How many times a user runs start() (infinity: until the run ends)",
    verify=_whole,
    update="free",
)
workers = setting(
    len(os.sched_getaffinity(0)),
    "Worker processes on each node; by default one per CPU core",
    verify=_from_1_to_512,
)
graphite_host = setting("", "Where carbon is, if figures are to go to Graphite", verify=_host)
graphite_port = setting(2003, "The port on which carbon takes lines", verify=_port)
graphite_prefix = setting("amoc", "What paths in Graphite begin with", verify=_prefix)
graphite_web = setting(
    "", "The address of graphite-web, if it is to get events: http://host:port", verify=_web
)
statsd_host = setting("", "Where statsd is, if figures are to go there", verify=_host)
statsd_port = setting(8125, "Its UDP port", verify=_port)
statsd_prefix = setting("amoc", "What names in statsd begin with", verify=_prefix)
prometheus_port = setting(
    0, "The port on which Prometheus finds /metrics (0: none)", verify=_port_or_0
)
prometheus_host = setting(
    "127.0.0.1",
    "The address for that; beyond loopback, whoever reaches it can read the figures",
    verify=_listen,
)
