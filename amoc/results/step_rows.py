"""Steps, failures and checks as rows of text, for both the terminal and the report. Pure."""

from __future__ import annotations

from amoc.base.clock import format_duration
from amoc.metrics.timer_statistics import MAIN
from amoc.results.steps import Failure
from amoc.results.summary_types import CheckPart, StepPart

NO_VALUE = "–"
"""Shown where there is no value."""
HEADS = ("count", "failures", "per second", *(one.label for one in MAIN), "max")
"""Headings of `cells`, after the step's name."""
RESPONSE_HEAD = "response p99"
CHECK_HEADS = ("passed", "failed", "share passed")
_TIMES = (*(one.field for one in MAIN), "max_s")
MAX_SAMPLE = 200
"""Maximum length of a failure's sample, in characters."""


def heads(responds: bool) -> tuple[str, ...]:
    """Return `HEADS`, with the one for response times if some step has one."""
    return (*HEADS, RESPONSE_HEAD) if responds else HEADS


def cells(one: StepPart, responds: bool = False) -> list[str]:
    """Return the cells of a step under `heads`."""
    per_s, times = one["per_s"], [one["times"].get(field) for field in _TIMES]
    if responds:
        times.append(one.get("response", {}).get("p99_s"))
    return [
        f"{one['count']:,}",
        failed(one["failures"], one["failed_share"]),
        NO_VALUE if per_s is None else f"{per_s:,.1f}",
        *(NO_VALUE if time_s is None else format_duration(time_s) for time_s in times),
    ]


def failed(count: int, share: float | None) -> str:
    """Format how many executions failed: ``12 (0.13 %)``."""
    return f"{count:,} ({percent(share)})" if count else "0"


def percent(share: float | None) -> str:
    """Format a share as a percentage with two digits; below 1 it never reads 100 %."""
    if share is None:
        return NO_VALUE
    value = 100 * share
    text = f"{value:.2g}" if value < 10 else f"{value:.1f}".removesuffix(".0")
    return f"{'99.9' if share < 1 and text == '100' else text} %"


def span(one: Failure) -> tuple[str, str]:
    """Return when this failure occurred first and last."""
    first_s, last_s = one.cause["first_s"], one.cause["last_s"]
    return f"{max(0.0, first_s):,.1f} s", f"{last_s:,.1f} s"


def sentence(one: Failure) -> str:
    """Describe failures in a line: ``12 × buy: payment refused (first 10.2 s, last 15.2 s)``."""
    first, last = span(one)
    cause = one.cause
    told = f"{cause['count']:,} × {one.step}: {cause['cause']} (first {first}, last {last})"
    return f"{told}: {cause['message'][:MAX_SAMPLE]}" if cause["message"] else told


def check_cells(one: CheckPart) -> list[str]:
    """Return the cells of a check under `CHECK_HEADS`."""
    return [f"{one['passed']:,}", f"{one['failed']:,}", percent(one["passed_share"])]
