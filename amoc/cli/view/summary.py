"""The summary of a run, explained in `docs/summary.md`, as tables for the terminal."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from rich.console import Console, ConsoleOptions, Group, RenderableType, RenderResult
from rich.measure import Measurement
from rich.table import Table
from rich.text import Text

from amoc.base.clock import format_duration, time_of_day, until
from amoc.base.text import counted, printable
from amoc.cli.view import metric_tables
from amoc.cli.view.console import verdict_colour
from amoc.cli.view.metric_tables import indented, listed, named, top
from amoc.cli.view.named_rows import NamedRows
from amoc.results.run_directory import RunDirectory
from amoc.results.summary import steady_part
from amoc.results.summary_types import (
    BlockedPart,
    CrashPart,
    Finding,
    Measured,
    NodePart,
    Summary,
    ThresholdPart,
    WorkerPart,
)
from amoc.scenario.scenario_files import file_names

MAX_CAUSES = 10
MAX_FINDINGS = 5
"""Maximum number of findings about the generator, and of blocking lines, in the terminal."""
UNBOUND = 10_000
"""A width that is enough for any table."""


def print_summary(console: Console, summary: Summary, elsewhere: str | None = None) -> None:
    """Print the final tables of a run, as `render` makes them."""
    console.print(render(summary, elsewhere))


def render(summary: Summary, elsewhere: str | None = None) -> RenderableType:
    """Yield the final tables of a run.

    Args:
        summary: Summary of the run.
        elsewhere: Id and options to address the run with, if its directory is on another host.
    """
    parts: list[RenderableType] = ["", _title(summary, elsewhere), _facts(summary)]
    parts += [indented(reason, "red") for reason in _reasons(summary)]
    parts += [indented(note, "yellow") for note in summary["run"].get("notes", ())]
    for one in _tables(summary):
        parts += ["", one]
    if elsewhere is not None:
        both = (f"report: amoc report {elsewhere}", f"run again: amoc replay {elsewhere}")
        parts += ["", *(Text(one, style="dim") for one in both)]
    elif directory := summary["run"]["directory"]:
        report = RunDirectory(Path(directory)).report
        parts += ["", *([Text(f"report: {report}", style="dim")] if report.is_file() else [])]
        parts += [Text(f"run again: amoc replay {directory}", style="dim")]
    return Group(*parts)


def _title(summary: Summary, elsewhere: str | None) -> Text:
    run, crashed = summary["run"], int(summary["users"]["crashed"])
    title = Text.assemble(
        ("run ", "dim"),
        run["id"],
        ("  scenario ", "dim"),
        run["scenario"] if elsewhere is None else file_names(run["scenario"]),
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
    """Return a line with numbers of users, times, load and target."""
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
    """Yield what there is to show, most important first."""
    part, span = _measured(summary)
    yield from metric_tables.of_steps(part, span)
    if summary.get("thresholds"):
        yield _thresholds(summary["thresholds"], span)
    if findings := summary.get("health", {}).get("findings"):
        yield _findings(findings)
    if summary.get("blocked"):
        yield _blocked(summary["blocked"])
    yield _users(summary["users"])
    if summary["crashes"]:
        yield _crashes(summary["crashes"])
    yield from metric_tables.of_metrics(summary, part, span)
    yield from _places(summary)


def _places(summary: Summary) -> Iterator[RenderableType]:
    """Yield the tables of nodes, if there are several, and of workers."""
    if len(summary.get("nodes", ())) > 1:
        yield _nodes(summary["nodes"])
    if summary["workers"]:
        yield _workers(summary["workers"], summary["run"]["duration_s"])


def _measured(summary: Summary) -> tuple[Measured, str]:
    """Return the part of the run that thresholds cover, as tables must agree, and its name."""
    window = steady_part(summary)
    if window is None:  # the run ended during the warm-up: show figures of all of it
        return summary, "warm-up" if "window" in summary else ""
    return window, f"after {format_duration(summary['run']['warmup_s'])}"


def _reasons(summary: Summary) -> list[str]:
    """Return the reasons for the verdict that no table below shows."""
    told = {one["reason"] for one in summary.get("thresholds", ())}
    told |= {one["text"] for one in summary.get("health", {}).get("findings", ())}
    return [reason for reason in summary["run"].get("reasons", ()) if reason not in told]


def _thresholds(thresholds: Sequence[ThresholdPart], span: str) -> Table:
    rows = NamedRows(named("thresholds", span), "value", "")
    for one in thresholds:
        met = Text("passed", "green") if one["passed"] else Text("failed", "bold red")
        rows.add_row(Text(one["expression"]), one["value_text"], met)
    return rows


def _findings(findings: Sequence[Finding]) -> Group:
    lines = [f"{one['text']}; {one['advice']}" for one in findings[:MAX_FINDINGS]]
    if len(findings) > MAX_FINDINGS:
        lines.append(f"and {len(findings) - MAX_FINDINGS} more, see the report")
    head = Text("the load generator was too slow", style="bold red")
    return Group(head, *map(indented, lines))


def _blocked(places: Sequence[BlockedPart]) -> Table:
    rows = NamedRows("blocked the event loop", "times", "total", "longest")
    for one in places[:MAX_FINDINGS]:
        lengths = (format_duration(one[key]) for key in ("total_s", "longest_s"))
        rows.add_row(Text(printable(one["place"])), f"{one['times']:,}", *lengths)
    if len(places) > MAX_FINDINGS:
        rows.add_row(f"and {len(places) - MAX_FINDINGS} more, see the report", "", "", "")
    return rows


@dataclass(frozen=True)
class _Fitting:
    """A table with a replacement for narrow windows."""

    wide: Table
    narrow: Table

    def __rich_console__(self, console: Console, options: ConsoleOptions) -> RenderResult:
        least = Measurement.get(console, options.update_width(UNBOUND), self.wide).minimum
        yield self.wide if least <= options.max_width else self.narrow


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
"""The columns of users, with the style of values other than 0."""
_RARE = ("timed_out", "lost", "not_started", "resting")
"""Columns that are omitted while they are 0."""


def _users(users: Mapping[str, float]) -> RenderableType:
    figures = {}
    for name, style in _USERS.items():
        count = users.get(name, 0)
        if count or name not in _RARE:
            figures[name.replace("_", " ")] = Text(f"{count:,}", style if count else "")
    figures["max users"] = Text(f"{users['peak']:,}")
    figures["max starts/s"] = Text(f"{users['starts_per_s_peak']:,.1f}")
    row = NamedRows("users", *figures, padding=(0, 1, 0, 0))  # to fit into 80 columns
    row.add_row("", *figures.values())
    column = NamedRows("users", "")
    for name, figure in figures.items():
        column.add_row(name, figure)
    return _Fitting(row, column)


def _crashes(crashes: Sequence[CrashPart]) -> Table:
    rows = NamedRows("crashes by cause", "total")
    for crash in crashes[:MAX_CAUSES]:
        rows.add_row(Text(printable(crash["cause"])), f"{crash['count']:,}")
    if len(crashes) > MAX_CAUSES:
        rest = sum(crash["count"] for crash in crashes[MAX_CAUSES:])
        rows.add_row(f"{len(crashes) - MAX_CAUSES} other causes (--json has all)", f"{rest:,}")
    return rows


def _nodes(nodes: Sequence[NodePart]) -> Table:
    heads = ("workers", "host", "state", "users restarted elsewhere", "users lost")
    rows: list[Sequence[str | Text]] = []
    found = {one["name"]: one for one in nodes}
    lost_first = {
        one["name"]: -at if one["lost_at_s"] is None else len(nodes) for at, one in enumerate(nodes)
    }
    for name, node in top(found, lambda one: lost_first[one["name"]]):
        state = node["state"]
        if (joined_s := node.get("joined_at_s")) is not None:
            state = f"joined at {format_duration(joined_s)}"
        if node["lost_at_s"] is not None:
            state = f"lost at {format_duration(node['lost_at_s'])}"
        counts = (f"{node[count]:,}" for count in ("restarted", "lost"))
        rows.append((name, f"{node['workers']}", Text(node["host"]), state, *counts))
    return listed("nodes", heads, rows, found)


def _workers(workers: Sequence[WorkerPart], duration_s: float) -> Table:
    found = {f"{one['node']}/{one['worker']}": one for one in workers}
    rows = (
        (
            name,
            f"{worker['users_peak']:,}",
            f"{worker['restarts']}",
            f"{worker['cpu_s'] / duration_s if duration_s else 0.0:.0%}",
            f"{worker['max_rss_bytes'] / 2**20:,.0f} MiB",
            format_duration(worker["loop_lag_p99_s"]),
        )
        for name, worker in top(found, lambda one: one["cpu_s"])
    )
    return listed("workers", ("users", "restarts", "CPU", "memory", "loop lag p99"), rows, found)
