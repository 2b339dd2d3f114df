"""The summary of a run as tables; `amoc.figures` makes it, `docs/summary.md` explains it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from rich.console import Console, Group, RenderableType
from rich.table import Table
from rich.text import Text

from amoc.engine.start_rate import USER_RATE
from amoc.figures import BUILT_IN_TIMERS
from amoc.lines import counted
from amoc.timing import format_duration

MOST_CAUSES = 10
MOST_FINDINGS = 5
"""Findings about the generator, and lines that blocked a worker, in the terminal."""


def print_summary(console: Console, summary: Mapping[str, Any]) -> None:
    """Print the final tables of a run."""
    console.print(render(summary))


def render(summary: Mapping[str, Any]) -> RenderableType:
    """The final tables of a run."""
    run, users = summary["run"], summary["users"]
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
        (run["verdict"], "bold green" if run["verdict"] in _GOOD else "bold red"),
        (
            f", but {counted(users['crashed'], 'iteration')} crashed" if users["crashed"] else "",
            "red",
        ),
        (f"  {run['comment']}", "italic"),
    )
    parts: list[RenderableType] = ["", title]
    parts += [Text(f"  {reason}", style="red") for reason in _reasons(summary)]
    if summary.get("expectations"):
        parts += ["", _expectations(summary)]
    if findings := summary.get("health", {}).get("findings"):
        parts += ["", _findings(findings)]
    if summary.get("blocked"):
        parts += ["", _blocked(summary["blocked"])]
    parts += ["", _users(users)]
    if summary["crashes"]:
        parts += ["", _crashes(summary["crashes"])]
    if counters := nonzero(summary["counters"]):
        parts += ["", counters_table(counters, run["duration_s"])]
    if summary["gauges"]:
        parts += ["", _gauges(summary["gauges"])]
    throttles = {
        name: one
        for name, one in summary["throttles"].items()
        if one["requests"] and name != USER_RATE
    }
    if throttles:
        parts += ["", _throttles(throttles, summary["timers"].get("token_lateness"))]
    target = {
        name: timer
        for name, timer in summary["timers"].items()
        if name not in BUILT_IN_TIMERS and timer["count"]
    }
    if target:
        parts += ["", timers_table(target)]
    if summary["workers"]:
        parts += ["", _workers(summary["workers"], run["duration_s"])]
    if run["directory"]:
        parts += ["", Text(f"report: {run['directory']}/report.html", style="dim")]
        parts += [Text(f"run again: amoc replay {run['directory']}", style="dim")]
    return Group(*parts)


_GOOD = ("ok", "stopped")


def _reasons(summary: Mapping[str, Any]) -> list[str]:
    """Why the verdict is what it is, as far as no table below says it."""
    told = {one["reason"] for one in summary.get("expectations", ())}
    told |= {one["text"] for one in summary.get("health", {}).get("findings", ())}
    return [reason for reason in summary["run"].get("reasons", ()) if reason not in told]


def _expectations(summary: Mapping[str, Any]) -> Table:
    warmup_s = summary["run"]["warmup_s"]
    after = f" (after {format_duration(warmup_s)})" if warmup_s else ""
    table = _table(f"expectations{after}", "value", "")
    for one in summary["expectations"]:
        met = Text("met", "green") if one["passed"] else Text("not met", "bold red")
        table.add_row(Text(one["expression"]), one["value_text"], met)
    return table


def _findings(findings: list[Mapping[str, Any]]) -> Group:
    lines = [Text("the generator was too slow", style="bold red")]
    lines += [Text(f"  {one['text']}: {one['advice']}") for one in findings[:MOST_FINDINGS]]
    if len(findings) > MOST_FINDINGS:
        lines.append(Text(f"  and {len(findings) - MOST_FINDINGS} more, see the report"))
    return Group(*lines)


def _blocked(places: list[Mapping[str, Any]]) -> Table:
    table = _table("blocked its worker", "times", "together", "longest")
    for one in places[:MOST_FINDINGS]:
        lengths = (format_duration(one[key]) for key in ("total_s", "longest_s"))
        table.add_row(Text(one["place"]), f"{one['times']:,}", *lengths)
    if len(places) > MOST_FINDINGS:
        table.add_row(f"and {len(places) - MOST_FINDINGS} more, see the report", "", "", "")
    return table


def _table(*columns: str) -> Table:
    """A plain table: the first column to the left, all others to the right."""
    table = Table(box=None, pad_edge=False, padding=(0, 1), header_style="dim")
    for number, column in enumerate(columns):
        table.add_column(column, justify="right" if number else "left", no_wrap=bool(number))
    return table


def nonzero(counters: Mapping[str, int]) -> dict[str, int]:
    """The counters that a person wants to see; the JSON has them all."""
    return {name: count for name, count in counters.items() if count}


def _users(users: Mapping[str, Any]) -> Table:
    shown = ("started", "finished", "crashed", "removed", "restarted", "running", "peak")
    table = _table("users", *shown, "starts/s peak")
    table.padding = (0, 1, 0, 0)  # or it would not fit on 80 columns
    crashed = Text(f"{users['crashed']:,}", style="bold red" if users["crashed"] else "")
    values = [crashed if name == "crashed" else f"{users[name]:,}" for name in shown]
    table.add_row("", *values, f"{users['starts_per_s_peak']:,.1f}")
    return table


def _crashes(crashes: list[Mapping[str, Any]]) -> Table:
    table = _table("crashes by cause", "count")
    for crash in crashes[:MOST_CAUSES]:
        table.add_row(Text(crash["cause"]), f"{crash['count']:,}")
    if len(crashes) > MOST_CAUSES:
        rest = sum(crash["count"] for crash in crashes[MOST_CAUSES:])
        table.add_row(f"{len(crashes) - MOST_CAUSES} other causes (--json has all)", f"{rest:,}")
    return table


def counters_table(counters: Mapping[str, int], duration_s: float) -> Table:
    """Counters with their totals and their mean rates."""
    table = _table("counters", "total", "per second")
    for name, count in counters.items():
        table.add_row(name, f"{count:,}", f"{count / duration_s:,.1f}" if duration_s else "")
    return table


def _gauges(gauges: Mapping[str, float]) -> Table:
    table = _table("gauges", "last")
    for name, value in gauges.items():
        table.add_row(name, "not finite" if value is None else f"{value:,.6g}")
    return table


def _throttles(
    throttles: Mapping[str, Mapping[str, Any]], lateness: Mapping[str, float] | None
) -> Table:
    late = f" (late p99 {format_duration(lateness['p99_s'])})" if lateness else ""
    table = _table(f"throttles{late}", "let through", "per second", "rate", "missed", "waiting")
    for name, one in throttles.items():
        rate, interval_s = one["rate"], one["interval_s"]
        if rate is None:
            shown = "no limit"
        else:
            shown = f"{rate / interval_s:,.6g}/s" if interval_s else f"{rate:,.6g} at once"
        table.add_row(
            name,
            f"{one['executions']:,}",
            f"{one['executions_per_s']:,.1f}",
            "stopped" if one["mode"] == "stopped" else shown,
            f"{one['missed']:,}",
            f"{one['waiting']:,}",
        )
    return table


def timers_table(timers: Mapping[str, Mapping[str, float]]) -> Table:
    """Timers with their percentiles."""
    table = _table("timers", "count", "mean", "p50", "p95", "p99", "max")
    for name, timer in timers.items():
        figures = (timer[key] for key in ("mean_s", "p50_s", "p95_s", "p99_s", "max_s"))
        table.add_row(name, f"{timer['count']:,}", *map(format_duration, figures))
    return table


def _workers(workers: list[Mapping[str, Any]], duration_s: float) -> Table:
    table = _table("workers", "users", "restarts", "CPU", "memory", "loop lag p99")
    for worker in workers:
        share = worker["cpu_s"] / duration_s if duration_s else 0.0
        table.add_row(
            f"{worker['node']}/{worker['slot']}",
            f"{worker['users_peak']:,}",
            f"{worker['restarts']}",
            f"{share:.0%}",
            f"{worker['max_rss_bytes'] / 2**20:,.0f} MiB",
            format_duration(worker["loop_lag_p99_s"]),
        )
    return table
