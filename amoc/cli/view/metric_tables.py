"""Tables of a run's metrics, for its summary in the terminal."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence, Sized
from typing import TypeVar

from rich.console import Group, RenderableType
from rich.padding import Padding
from rich.table import Table
from rich.text import Text

from amoc.base.clock import format_duration
from amoc.base.text import printable
from amoc.cli.view import steps as view_steps
from amoc.cli.view.named_rows import NamedRows
from amoc.metrics import reserved
from amoc.metrics.timer_statistics import TABLE
from amoc.results import kinds, message_account, steps
from amoc.results.counts import busiest
from amoc.results.step_rows import CHECK_HEADS, heads
from amoc.results.summary_types import CheckPart, Measured, StepPart, Summary, ThrottlePart
from amoc.scenario.arrivals import ARRIVAL_RATE
from amoc.scenario.start_rate import USER_RATE

T = TypeVar("T")
MAX_METRICS = 40
"""Maximum number of counters, gauges and so on in the terminal, busiest first."""


def of_steps(part: Measured, span: str) -> Iterator[RenderableType]:
    """Yield tables of steps, their failures, and checks.

    Args:
        part: The part of the run that thresholds cover.
        span: Its name.
    """
    found, made = part.get("steps", {}), part.get("checks", {})
    if shown := steps.executed(found):
        yield _requests(shown, span)
    if why := view_steps.sentences(shown):
        yield Group(Text("failures by cause", style="dim"), *map(indented, why))
    if made := {name: one for name, one in made.items() if one["passed_share"] is not None}:
        yield _checks(made, span)


def of_metrics(whole: Summary, part: Measured, span: str) -> Iterator[RenderableType]:
    """Yield tables of metrics other than steps; for the arguments see `of_steps`."""
    yield from _counted(whole, part, span)
    if whole["gauges"]:
        yield _gauges(whole["gauges"])
    throttles = {
        name: one
        for name, one in part["throttles"].items()
        if one["requests"] and name not in (USER_RATE, ARRIVAL_RATE)
    }
    if throttles:
        yield _throttles(throttles, part["timers"].get("token_lateness"), span)
    target = {
        name: timer
        for name, timer in part["timers"].items()
        if name not in reserved.TIMERS and timer["count"] and name not in part.get("steps", {})
    }
    if target:
        yield _timers(target, span)


def _counted(whole: Measured, part: Measured, span: str) -> Iterator[RenderableType]:
    """Yield tables of user kinds, messages, and counters that do not belong to steps or checks."""
    counters, per_s = part["counters"], part.get("counters_per_s", {})
    if found := kinds.rows(whole, part):
        yield _kinds(found, span)
        counters = kinds.without(counters)
    messages = message_account.rows(counters)
    if messages:
        yield _messages(messages, per_s, span)
        counters = {
            name: count for name, count in counters.items() if name not in message_account.NAMES
        }
    others = steps.without(counters, part.get("steps", ()), part.get("checks", ()))
    if rest := {name: count for name, count in others.items() if count}:
        yield _counters(rest, per_s, span)


def named(table: str, *remarks: str) -> str:
    """Return the title of a table, with remarks."""
    said = ", ".join(filter(None, remarks))
    return f"{table} ({said})" if said else table


def top(metrics: Mapping[str, T], count: Callable[[T], float]) -> list[tuple[str, T]]:
    """Return the metrics that fit, those with the highest counts, in their original order."""
    shown = set(busiest({name: count(one) for name, one in metrics.items()})[:MAX_METRICS])
    return [(name, one) for name, one in metrics.items() if name in shown]


def listed(
    title: str, heads: Sequence[str], rows: Iterable[Sequence[str | Text]], metrics: Sized
) -> Table:
    """Return a table with `rows` for those of `metrics` that fit, and the number of the others."""
    made = NamedRows(title, *heads)
    for row in rows:
        made.add_row(*row)
    if (more := len(metrics) - MAX_METRICS) > 0:
        made.add_row(f"{more:,} more (--json has all)")
    return made


def _messages(
    account: Sequence[message_account.Row], per_s: Mapping[str, float | None], span: str
) -> Table:
    """Return the table of messages: whether each arrived, once, in order and in time."""
    rows = NamedRows(named("messages", span), "total", "per second", "of expected")
    for one in account:
        share = "" if one.share is None else f"{one.share:.2%}"
        style = "bold red" if one.name == message_account.LOST and one.total else ""
        rows.add_row(
            Text(one.name), Text(f"{one.total:,}", style), _rate(per_s.get(one.name)), share
        )
    return rows


def _requests(found: Mapping[str, StepPart], span: str) -> Table:
    """Return the table of steps: count, rate, failures and times."""
    with_response, shown = steps.responds(found), top(found, lambda one: one["count"])
    rows = (view_steps.row(name, one, with_response) for name, one in shown)
    return listed(named("requests", span), heads(with_response), rows, found)


def _checks(made: Mapping[str, CheckPart], span: str) -> Table:
    """Return the table of checks: how often each passed."""
    rows = (view_steps.check_row(*one) for one in list(made.items())[:MAX_METRICS])
    return listed(named("checks", span), CHECK_HEADS, rows, made)


def _counters(counters: Mapping[str, int], per_s: Mapping[str, float | None], span: str) -> Table:
    shown = top(counters, int)
    rows = ((Text(name), f"{count:,}", _rate(per_s.get(name))) for name, count in shown)
    return listed(named("counters", span), ("total", "per second"), rows, counters)


def _kinds(found: Sequence[kinds.KindRow], span: str) -> Table:
    rows: list[Sequence[str | Text]] = []
    for name, users, iterations, per_s, crashes in found[:MAX_METRICS]:
        cells = (f"{users:,}" if users else "–", f"{iterations:,}", _rate(per_s))
        rows.append((Text(name), *cells, Text(f"{crashes:,}", "red" if crashes else "")))
    return listed(named("kinds", span), kinds.HEADS, rows, found)


def _rate(per_s: float | None) -> str:
    return f"{per_s:,.1f}" if per_s is not None else ""


def _gauges(gauges: Mapping[str, float | None]) -> Table:
    rows = (
        (Text(name), "not finite" if value is None else f"{value:,.6g}")
        for name, value in list(gauges.items())[:MAX_METRICS]
    )
    return listed("gauges", ("last",), rows, gauges)


def _throttles(
    throttles: Mapping[str, ThrottlePart], lateness: Mapping[str, float] | None, span: str
) -> Table:
    late = f"late p99 {format_duration(lateness['p99_s'])}" if lateness else ""
    heads = ("rate", "executions", "missed", "waiting", "per second")
    rows: list[Sequence[str | Text]] = []
    for name, one in top(throttles, lambda one: one["executions"]):
        rate, interval_s = one["rate"], one["interval_s"]
        if rate is None:
            shown = "no limit"
        else:
            shown = f"{rate / interval_s:,.6g}/s" if interval_s else f"{rate:,.6g} at once"
        shown = "stopped" if one["mode"] == "stopped" else shown
        counts = (f"{count:,}" for count in (one["executions"], one["missed"], one["waiting"]))
        rows.append((Text(name), shown, *counts, _rate(one["executions_per_s"])))
    return listed(named("throttles", span, late), heads, rows, throttles)


def _timers(timers: Mapping[str, Mapping[str, float]], span: str) -> Table:
    rows: list[Sequence[str | Text]] = []
    for name, timer in top(timers, lambda one: one["count"]):
        figures = (timer[field] for field in TABLE.values())
        rows.append((Text(name), f"{timer['count']:,}", *map(format_duration, figures)))
    return listed(named("timers", span), ("count", *TABLE), rows, timers)


def indented(sentence: str, style: str = "") -> Padding:
    """Indent a line below what it explains, including its continuation lines."""
    return Padding(Text(printable(sentence), style), (0, 0, 0, 2), expand=False)
