"""The summary of a run, explained in `docs/summary.md`, as tables for the terminal."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence, Sized
from dataclasses import dataclass
from pathlib import Path

from rich.console import Console, ConsoleOptions, Group, RenderableType, RenderResult
from rich.measure import Measurement
from rich.padding import Padding
from rich.table import Table
from rich.text import Text

from amoc.base.clock import format_duration, time_of_day, until
from amoc.base.text import counted, printable
from amoc.cli.view import steps as view_steps
from amoc.cli.view.console import verdict_colour
from amoc.metrics import reserved
from amoc.metrics.timer_statistics import TABLE
from amoc.results import kinds, message_account, steps
from amoc.results.counts import busiest
from amoc.results.run_directory import RunDirectory
from amoc.results.step_rows import CHECK_HEADS, heads
from amoc.results.summary import steady_part
from amoc.results.summary_types import (
    BlockedPart,
    CheckPart,
    CrashPart,
    Finding,
    Measured,
    NodePart,
    StepPart,
    Summary,
    ThresholdPart,
    ThrottlePart,
    WorkerPart,
)
from amoc.scenario.arrivals import ARRIVAL_RATE
from amoc.scenario.start_rate import USER_RATE

MAX_CAUSES = 10
MAX_METRICS = 40
"""Counters, gauges, throttles and timers in the terminal, of each the busiest."""
MAX_FINDINGS = 5
"""Findings about the generator, and lines that blocked a worker, in the terminal."""
UNBOUND = 10_000
"""Columns that are enough for any table."""


def print_summary(console: Console, summary: Summary) -> None:
    """Print the final tables of a run."""
    console.print(render(summary))


def render(summary: Summary) -> RenderableType:
    """The final tables of a run."""
    parts: list[RenderableType] = ["", _title(summary), _facts(summary)]
    parts += [_indented(reason, "red") for reason in _reasons(summary)]
    parts += [_indented(note, "yellow") for note in summary["run"].get("notes", ())]
    for table in _tables(summary):
        parts += ["", table]
    if directory := summary["run"]["directory"]:
        report = RunDirectory(Path(directory)).report
        parts += ["", *([Text(f"report: {report}", style="dim")] if report.is_file() else [])]
        parts += [Text(f"run again: amoc replay {directory}", style="dim")]
    return Group(*parts)


def _title(summary: Summary) -> Text:
    run, crashed = summary["run"], int(summary["users"]["crashed"])
    title = Text.assemble(
        ("run ", "dim"),
        run["id"],
        ("  scenario ", "dim"),
        run["scenario"],
        ("  took ", "dim"),
        format_duration(run["duration_s"]),
        ("  seed ", "dim"),
        str(run["seed"]),
        ("  verdict ", "dim"),
        (run["verdict"], f"bold {verdict_colour(run['verdict'])}".rstrip()),
    )
    if crashed:
        title.append(f"; {counted(crashed, 'iteration')} crashed", "red")
    if run["comment"]:
        title.append(f"  {run['comment']}", "italic")
    return title


def _facts(summary: Summary) -> Text:
    """How many users there were, when, by which plan, and against what."""
    run = summary["run"]
    began, end = run.get("started_at", ""), run.get("ended_at", "")
    when = f"{time_of_day(began)} to {until(began, end)}" if end else time_of_day(began)
    facts = {
        "users": f"{int(summary['users'].get('peak', 0)):,}",
        "stages": run.get("stages", ""),
        "arrival rate": run.get("arrival_rate", ""),
        "target": ", ".join(run.get("targets", ())),
        "from": when,
    }
    text = Text()
    for name, fact in facts.items():
        if fact:
            text.append(f"{name} ", "dim").append(f"{printable(fact)}  ")
    text.rstrip()
    return text


def _tables(summary: Summary) -> Iterator[RenderableType]:
    """What there is to show, the most important first."""
    part, span = _measured(summary)
    found, made = part.get("steps", {}), part.get("checks", {})
    if shown := steps.executed(found):
        yield _requests(shown, span)
    if why := view_steps.sentences(shown):
        yield Group(Text("failures by cause", style="dim"), *map(_indented, why))
    if made := {name: one for name, one in made.items() if one["passed_share"] is not None}:
        yield _checks(made, span)
    if summary.get("thresholds"):
        yield _thresholds(summary["thresholds"], span)
    if findings := summary.get("health", {}).get("findings"):
        yield _findings(findings)
    if summary.get("blocked"):
        yield _blocked(summary["blocked"])
    yield _users(summary["users"])
    if summary["crashes"]:
        yield _crashes(summary["crashes"])
    yield from _counted(part, span)
    if summary["gauges"]:
        yield _gauges(summary["gauges"])
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
        if name not in reserved.TIMERS and timer["count"] and name not in found
    }
    if target:
        yield _timers(target, span)
    yield from _places(summary)


def _places(summary: Summary) -> Iterator[RenderableType]:
    """Nodes, if there are several, and workers."""
    if len(summary.get("nodes", ())) > 1:
        yield _nodes(summary["nodes"])
    if summary["workers"]:
        yield _workers(summary["workers"], summary["run"]["duration_s"])


def _counted(part: Measured, span: str) -> Iterator[RenderableType]:
    """Kinds of users, messages, and all counters that are none of steps and checks."""
    counters, per_s = part["counters"], part.get("counters_per_s", {})
    if found := kinds.rows(counters, per_s):
        yield _kinds(found, span)
        counters = kinds.without(counters)
    messages = message_account.rows(counters)
    if messages:
        yield _messages(messages, per_s, span)
        counters = {
            name: count for name, count in counters.items() if name not in message_account.NAMES
        }
    if rest := nonzero(steps.without(counters, part.get("steps", ()), part.get("checks", ()))):
        yield _counters(rest, per_s, span)


def _measured(summary: Summary) -> tuple[Measured, str]:
    """The part of the run that thresholds cover, and its name; the tables must agree with them."""
    window = steady_part(summary)
    if window is None:  # if it ended during the warm-up, better these numbers than none
        return summary, "warm-up" if "window" in summary else ""
    return window, f"after {format_duration(summary['run']['warmup_s'])}"


def _reasons(summary: Summary) -> list[str]:
    """Why the verdict is what it is, as far as no table below says it."""
    told = {one["reason"] for one in summary.get("thresholds", ())}
    told |= {one["text"] for one in summary.get("health", {}).get("findings", ())}
    return [reason for reason in summary["run"].get("reasons", ()) if reason not in told]


def _named(table: str, *remarks: str) -> str:
    """The title of a table, with what there is to remark."""
    said = ", ".join(filter(None, remarks))
    return f"{table} ({said})" if said else table


def _thresholds(thresholds: Sequence[ThresholdPart], span: str) -> Table:
    table = _table(_named("thresholds", span), "value", "")
    for one in thresholds:
        met = Text("passed", "green") if one["passed"] else Text("failed", "bold red")
        table.add_row(Text(one["expression"]), one["value_text"], met)
    return table


def _findings(findings: Sequence[Finding]) -> Group:
    lines = [f"{one['text']}; {one['advice']}" for one in findings[:MAX_FINDINGS]]
    if len(findings) > MAX_FINDINGS:
        lines.append(f"and {len(findings) - MAX_FINDINGS} more, see the report")
    head = Text("the load generator was too slow", style="bold red")
    return Group(head, *map(_indented, lines))


def _indented(sentence: str, style: str = "") -> Padding:
    """A sentence below what it explains, also where it takes more than a line."""
    return Padding(Text(printable(sentence), style), (0, 0, 0, 2), expand=False)


def _blocked(places: Sequence[BlockedPart]) -> Table:
    table = _table("blocked the event loop", "times", "total", "longest")
    for one in places[:MAX_FINDINGS]:
        lengths = (format_duration(one[key]) for key in ("total_s", "longest_s"))
        table.add_row(Text(printable(one["place"])), f"{one['times']:,}", *lengths)
    if len(places) > MAX_FINDINGS:
        table.add_row(f"and {len(places) - MAX_FINDINGS} more, see the report", "", "", "")
    return table


def _table(*columns: str) -> Table:
    """A plain table: the first column to the left, all others to the right.

    Where there is no room for it the first is broken, and nothing of it lost.
    """
    table = Table(box=None, pad_edge=False, padding=(0, 1), header_style="dim")
    name, *figures = columns
    table.add_column(name, overflow="fold")
    for column in figures:
        table.add_column(column, justify="right", no_wrap=True)
    return table


@dataclass(frozen=True)
class _Fitting:
    """A table, or another one where there is no room for it."""

    wide: Table
    narrow: Table

    def __rich_console__(self, console: Console, options: ConsoleOptions) -> RenderResult:
        least = Measurement.get(console, options.update_width(UNBOUND), self.wide).minimum
        yield self.wide if least <= options.max_width else self.narrow


def nonzero(counters: Mapping[str, int]) -> dict[str, int]:
    """The counters worth showing; the JSON has them all."""
    return {name: count for name, count in counters.items() if count}


_USERS = {
    "started": "",
    "finished": "",
    "crashed": "bold red",
    "removed": "",
    "timed_out": "bold red",
    "lost": "bold red",
    "not_started": "bold yellow",
    "restarted": "",
    "running": "",
    "resting": "",
}
"""The columns on users, and how each is shown when there are any."""
_RARE = ("timed_out", "lost", "not_started", "resting")
"""Columns that are left out while they are 0."""


def _users(users: Mapping[str, float]) -> RenderableType:
    figures = {}
    for name, style in _USERS.items():
        count = users.get(name, 0)
        if count or name not in _RARE:
            figures[name.replace("_", " ")] = Text(f"{count:,}", style if count else "")
    figures["max users"] = Text(f"{users['peak']:,}")
    figures["max starts/s"] = Text(f"{users['starts_per_s_peak']:,.1f}")
    row = _table("users", *figures)
    row.padding = (0, 1, 0, 0)  # or it would not fit on 80 columns
    row.add_row("", *figures.values())
    column = _table("users", "")
    for name, figure in figures.items():
        column.add_row(name, figure)
    return _Fitting(row, column)


def _crashes(crashes: Sequence[CrashPart]) -> Table:
    table = _table("crashes by cause", "total")
    for crash in crashes[:MAX_CAUSES]:
        table.add_row(Text(printable(crash["cause"])), f"{crash['count']:,}")
    if len(crashes) > MAX_CAUSES:
        rest = sum(crash["count"] for crash in crashes[MAX_CAUSES:])
        table.add_row(f"{len(crashes) - MAX_CAUSES} other causes (--json has all)", f"{rest:,}")
    return table


def _top(metrics: Mapping[str, object], counts: Mapping[str, float]) -> list[str]:
    """The metrics that there is room for, the busiest, in their order."""
    shown = set(busiest(counts)[:MAX_METRICS])
    return [name for name in metrics if name in shown]


def _with_more(table: Table, metrics: Sized) -> Table:
    """`table`, and how many metrics are not in it."""
    if (more := len(metrics) - MAX_METRICS) > 0:
        table.add_row(f"{more:,} more (--json has all)")
    return table


def _messages(
    rows: Sequence[message_account.Row], per_s: Mapping[str, float | None], span: str
) -> Table:
    """Whether each message came, once, in order and in time; how fast is in a timer."""
    table = _table(_named("messages", span), "total", "per second", "of expected")
    for one in rows:
        share = "" if one.share is None else f"{one.share:.2%}"
        style = "bold red" if one.name == message_account.LOST and one.total else ""
        table.add_row(
            Text(one.name), Text(f"{one.total:,}", style), _rate(per_s.get(one.name)), share
        )
    return table


def _requests(found: Mapping[str, StepPart], span: str) -> Table:
    """Steps: how many, how fast, how many failed."""
    with_response = steps.responds(found)
    table = _table(_named("requests", span), *heads(with_response))
    for name in _top(found, {name: one["count"] for name, one in found.items()}):
        table.add_row(*view_steps.row(name, found[name], with_response))
    return _with_more(table, found)


def _checks(made: Mapping[str, CheckPart], span: str) -> Table:
    """Checks: how often each passed."""
    table = _table(_named("checks", span), *CHECK_HEADS)
    for name in list(made)[:MAX_METRICS]:
        table.add_row(*view_steps.check_row(name, made[name]))
    return _with_more(table, made)


def _counters(counters: Mapping[str, int], per_s: Mapping[str, float | None], span: str) -> Table:
    table = _table(_named("counters", span), "total", "per second")
    for name in _top(counters, counters):
        table.add_row(Text(name), f"{counters[name]:,}", _rate(per_s.get(name)))
    return _with_more(table, counters)


def _kinds(found: Sequence[kinds.KindRow], span: str) -> Table:
    table = _table(_named(kinds.HEADS[0], span), *kinds.HEADS[1:])
    for name, users, iterations, per_s in found[:MAX_METRICS]:
        table.add_row(Text(name), f"{users:,}" if users else "–", f"{iterations:,}", _rate(per_s))
    return _with_more(table, found)


def _rate(per_s: float | None) -> str:
    return f"{per_s:,.1f}" if per_s is not None else ""


def _gauges(gauges: Mapping[str, float | None]) -> Table:
    table = _table("gauges", "last")
    for name in list(gauges)[:MAX_METRICS]:
        value = gauges[name]
        table.add_row(Text(name), "not finite" if value is None else f"{value:,.6g}")
    return _with_more(table, gauges)


def _throttles(
    throttles: Mapping[str, ThrottlePart], lateness: Mapping[str, float] | None, span: str
) -> Table:
    late = f"late p99 {format_duration(lateness['p99_s'])}" if lateness else ""
    title = _named("throttles", span, late)
    table = _table(title, "rate", "executions", "missed", "waiting", "per second")
    for name in _top(throttles, {name: one["executions"] for name, one in throttles.items()}):
        one = throttles[name]
        rate, interval_s = one["rate"], one["interval_s"]
        if rate is None:
            shown = "no limit"
        else:
            shown = f"{rate / interval_s:,.6g}/s" if interval_s else f"{rate:,.6g} at once"
        table.add_row(
            Text(name),
            "stopped" if one["mode"] == "stopped" else shown,
            f"{one['executions']:,}",
            f"{one['missed']:,}",
            f"{one['waiting']:,}",
            _rate(one["executions_per_s"]),
        )
    return _with_more(table, throttles)


def _timers(timers: Mapping[str, Mapping[str, float]], span: str) -> Table:
    table = _table(_named("timers", span), "count", *TABLE)
    for name in _top(timers, {name: one["count"] for name, one in timers.items()}):
        timer = timers[name]
        figures = (timer[field] for field in TABLE.values())
        table.add_row(Text(name), f"{timer['count']:,}", *map(format_duration, figures))
    return _with_more(table, timers)


def _nodes(nodes: Sequence[NodePart]) -> Table:
    table = _table("nodes", "workers", "host", "state", "users restarted elsewhere", "users lost")
    for node in nodes:
        state = node["state"]
        if node["lost_at_s"] is not None:
            state = f"lost at {format_duration(node['lost_at_s'])}"
        counts = (f"{node[name]:,}" for name in ("restarted", "lost"))
        table.add_row(node["name"], f"{node['workers']}", Text(node["host"]), state, *counts)
    return table


def _workers(workers: Sequence[WorkerPart], duration_s: float) -> Table:
    table = _table("workers", "users", "restarts", "CPU", "memory", "loop lag p99")
    for worker in workers:
        share = worker["cpu_s"] / duration_s if duration_s else 0.0
        table.add_row(
            f"{worker['node']}/{worker['worker']}",
            f"{worker['users_peak']:,}",
            f"{worker['restarts']}",
            f"{share:.0%}",
            f"{worker['max_rss_bytes'] / 2**20:,.0f} MiB",
            format_duration(worker["loop_lag_p99_s"]),
        )
    return table
