"""Time: the clock, its units, and the parsing of durations and rates. Pure.

Inside amoc a time is an integer number of nanoseconds on the monotonic clock (suffix ``_ns``),
which all processes of a host share. In the public API a duration is a float in seconds. Text such
as ``30s`` or ``600/min`` is parsed only here.
"""

from __future__ import annotations

import re
from datetime import UTC, datetime
from math import isnan
from time import monotonic_ns as now_ns

from amoc.base.errors import ScenarioError

__all__ = [
    "MS_NS",
    "S_NS",
    "US_NS",
    "check_time",
    "format_duration",
    "limit_ns",
    "now_ns",
    "parse_duration",
    "parse_rate",
    "time_of_day",
    "until",
]

US_NS = 1_000
MS_NS = 1_000_000
S_NS = 1_000_000_000

_UNIT_S = {"us": 1e-6, "ms": 1e-3, "s": 1.0, "m": 60.0, "min": 60.0, "h": 3600.0, "d": 86400.0}
_PART = re.compile(r"(\d+(?:\.\d+)?)(us|ms|s|min|m|h|d)")
_NUMBER = re.compile(r"\d+(?:\.\d+)?")


def check_time(seconds: float) -> None:
    """Check a time limit given by a scenario, when it is about to be used.

    Raises:
        ScenarioError: It is not a number: the wait would never end.
    """
    if isnan(seconds):
        raise ScenarioError(f"a time must be a number of seconds, got {seconds}")


def limit_ns(seconds: float) -> int:
    """Return a time limit given by a scenario in nanoseconds; ``inf`` is 30 years.

    Raises:
        ScenarioError: As `check_time`.
    """
    check_time(seconds)
    return int(min(seconds, 1e9) * S_NS)


def parse_duration(text: str, bare_unit: str = "s") -> float:
    """Parse a duration to seconds: ``30s``, ``1m30s``, ``inf``, or a number in `bare_unit`.

    Raises:
        ValueError: `text` is not a duration; the message has the rule and the text.
    """
    compact = text.strip().lower().replace(" ", "")
    if compact in ("inf", "infinity"):
        return float("inf")
    if _NUMBER.fullmatch(compact):
        return float(compact) * _UNIT_S[bare_unit]
    parts = _PART.findall(compact)
    if compact.startswith("-"):
        raise ValueError(f"must not be negative, got {text!r}")
    if not parts or "".join(number + unit for number, unit in parts) != compact:
        raise ValueError(f"must be a duration such as 500ms, 30s, 1m30s or 2h, got {text!r}")
    return sum(float(number) * _UNIT_S[unit] for number, unit in parts)


def parse_rate(text: str, interval_s: float = 60.0, *, finite: bool = False) -> tuple[float, float]:
    """Parse a rate to a count and its interval in seconds: ``10/s``, ``600/min``, ``5/10s``.

    Args:
        text: A number or ``inf``, with or without an interval.
        interval_s: The interval if `text` has none.
        finite: Whether to reject ``inf``.

    Raises:
        ValueError: `text` is not a rate; the message has the rule and the text.
    """
    forms = "10/s, 600/min or 3600/h" if finite else "10/s, 600/min, 3600/h or inf"
    number, slash, per = text.strip().lower().replace(" ", "").partition("/")
    infinite = number in ("inf", "infinity")
    if number.startswith("-"):
        raise ValueError(f"must not be negative, got {text!r}")
    if not (infinite or (_NUMBER.fullmatch(number) and len(number) <= 20)) or (slash and not per):
        raise ValueError(f"must be a rate such as {forms}, got {text!r}")
    if infinite and finite:
        raise ValueError(f"must be below infinity, got {text!r}")
    if slash:
        try:
            interval_s = parse_duration(f"1{per}" if per in _UNIT_S else per)
        except ValueError:
            interval_s = 0.0
        if not 0 < interval_s < float("inf"):
            raise ValueError(f"must be a rate such as {forms}, got {text!r}")
    return float("inf") if infinite else float(number), interval_s


def format_duration(seconds: float) -> str:
    """Format `seconds` to three digits: ``850 µs``, ``12.3 ms``, ``1.2 s``, ``2m05s``."""
    # The limits are where rounding to three digits would reach the next unit.
    if seconds < 0.9995e-3:
        return f"{seconds * 1e6:.3g} µs"
    if seconds < 0.9995:
        return f"{seconds * 1e3:.3g} ms"
    if seconds < 100:
        return f"{seconds:.3g} s"
    if seconds == float("inf"):
        return "forever"
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}h{minutes:02}m{rest:02}s" if hours else f"{minutes}m{rest:02}s"


def utc_text(at: datetime) -> str:
    """Return a time in UTC, which has that time zone, as ``2026-11-25T02:47:59.123Z``."""
    return at.isoformat(timespec="milliseconds").replace("+00:00", "Z")


def time_of_day(stamp: str) -> str:
    """Format an ISO 8601 time: ``2026-11-25 02:47:59 UTC``; other text is returned, shortened."""
    try:
        at = datetime.fromisoformat(stamp)
    except ValueError:
        return stamp[:40]
    if at.tzinfo is None:
        return f"{at:%Y-%m-%d %H:%M:%S}"
    return f"{at.astimezone(UTC):%Y-%m-%d %H:%M:%S} UTC"


def until(begin: str, end: str) -> str:
    """Format the time `end` for display after `begin`, without the day if that is the same."""
    day = time_of_day(begin)[:11]
    return time_of_day(end).removeprefix(day)
