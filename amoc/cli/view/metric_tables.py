"""Tables of a run's metrics, for its summary in the terminal."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence, Sized

from rich.console import Group, RenderableType
from rich.padding import Padding
from rich.table import Table
from rich.text import Text

from amoc.base.clock import format_duration
from amoc.base.text import printable
from amoc.cli.view import steps as view_steps
from amoc.metrics import reserved
from amoc.metrics.timer_statistics import TABLE
from amoc.results import kinds, message_account, steps
from amoc.results.counts import busiest
from amoc.results.step_rows import CHECK_HEADS, heads
from amoc.results.summary_types import CheckPart, Measured, StepPart, Summary, ThrottlePart
from amoc.scenario.arrivals import ARRIVAL_RATE
from amoc.scenario.start_rate import USER_RATE

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
    if rest := _nonzero(steps.without(counters, part.get("steps", ()), part.get("checks", ()))):
        yield _counters(rest, per_s, span)


def named(table: str, *remarks: str) -> str:
    """Return the title of a table, with remarks."""
    said = ", ".join(filter(None, remarks))
    return f"{table} ({said})" if said else table


def table(*columns: str) -> Table:
    """Return a plain table: the first column left-aligned, all others right-aligned.

    In a narrow window the first column is wrapped, so that nothing is lost.
    """
    table = Table(box=None, pad_edge=False, padding=(0, 1), header_style="dim")
    name, *figures = columns
    table.add_column(name, overflow="fold")
    for column in figures:
        table.add_column(column, justify="right", no_wrap=True)
    return table


def top(metrics: Mapping[str, object], counts: Mapping[str, float]) -> list[str]:
    """Return the metrics that fit, the busiest, in their original order."""
    shown = set(busiest(counts)[:MAX_METRICS])
    return [name for name in metrics if name in shown]


def with_more(table: Table, metrics: Sized) -> Table:
    """Return `table` with the number of metrics that are not shown."""
    if (more := len(metrics) - MAX_METRICS) > 0:
        table.add_row(f"{more:,} more (--json has all)")
    return table


def _messages(
    account: Sequence[message_account.Row], per_s: Mapping[str, float | None], span: str
) -> Table:
    """Return the table of messages: whether each arrived, once, in order and in time."""
    rows = table(named("messages", span), "total", "per second", "of expected")
    for one in account:
        share = "" if one.share is None else f"{one.share:.2%}"
        style = "bold red" if one.name == message_account.LOST and one.total else ""
        rows.add_row(
            Text(one.name), Text(f"{one.total:,}", style), _rate(per_s.get(one.name)), share
        )
    return rows


def _requests(found: Mapping[str, StepPart], span: str) -> Table:
    """Return the table of steps: count, rate, failures and times."""
    with_response = steps.responds(found)
    rows = table(named("requests", span), *heads(with_response))
    for name in top(found, {name: one["count"] for name, one in found.items()}):
        rows.add_row(*view_steps.row(name, found[name], with_response))
    return with_more(rows, found)


def _checks(made: Mapping[str, CheckPart], span: str) -> Table:
    """Return the table of checks: how often each passed."""
    rows = table(named("checks", span), *CHECK_HEADS)
    for name in list(made)[:MAX_METRICS]:
        rows.add_row(*view_steps.check_row(name, made[name]))
    return with_more(rows, made)


def _counters(counters: Mapping[str, int], per_s: Mapping[str, float | None], span: str) -> Table:
    rows = table(named("counters", span), "total", "per second")
    for name in top(counters, counters):
        rows.add_row(Text(name), f"{counters[name]:,}", _rate(per_s.get(name)))
    return with_more(rows, counters)


def _kinds(found: Sequence[kinds.KindRow], span: str) -> Table:
    rows = table(named("kinds", span), *kinds.HEADS)
    for name, users, iterations, per_s, crashes in found[:MAX_METRICS]:
        cells = (f"{users:,}" if users else "–", f"{iterations:,}", _rate(per_s))
        rows.add_row(Text(name), *cells, Text(f"{crashes:,}", "red" if crashes else ""))
    return with_more(rows, found)


def _rate(per_s: float | None) -> str:
    return f"{per_s:,.1f}" if per_s is not None else ""


def _gauges(gauges: Mapping[str, float | None]) -> Table:
    rows = table("gauges", "last")
    for name in list(gauges)[:MAX_METRICS]:
        value = gauges[name]
        rows.add_row(Text(name), "not finite" if value is None else f"{value:,.6g}")
    return with_more(rows, gauges)


def _throttles(
    throttles: Mapping[str, ThrottlePart], lateness: Mapping[str, float] | None, span: str
) -> Table:
    late = f"late p99 {format_duration(lateness['p99_s'])}" if lateness else ""
    title = named("throttles", span, late)
    rows = table(title, "rate", "executions", "missed", "waiting", "per second")
    for name in top(throttles, {name: one["executions"] for name, one in throttles.items()}):
        one = throttles[name]
        rate, interval_s = one["rate"], one["interval_s"]
        if rate is None:
            shown = "no limit"
        else:
            shown = f"{rate / interval_s:,.6g}/s" if interval_s else f"{rate:,.6g} at once"
        rows.add_row(
            Text(name),
            "stopped" if one["mode"] == "stopped" else shown,
            f"{one['executions']:,}",
            f"{one['missed']:,}",
            f"{one['waiting']:,}",
            _rate(one["executions_per_s"]),
        )
    return with_more(rows, throttles)


def _timers(timers: Mapping[str, Mapping[str, float]], span: str) -> Table:
    rows = table(named("timers", span), "count", *TABLE)
    for name in top(timers, {name: one["count"] for name, one in timers.items()}):
        timer = timers[name]
        figures = (timer[field] for field in TABLE.values())
        rows.add_row(Text(name), f"{timer['count']:,}", *map(format_duration, figures))
    return with_more(rows, timers)


def _nonzero(counters: Mapping[str, int]) -> dict[str, int]:
    """Return the counters to show. The JSON output has all of them."""
    return {name: count for name, count in counters.items() if count}


def indented(sentence: str, style: str = "") -> Padding:
    """Indent a line below what it explains, including its continuation lines."""
    return Padding(Text(printable(sentence), style), (0, 0, 0, 2), expand=False)
