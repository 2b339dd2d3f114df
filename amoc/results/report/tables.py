"""The tables of a report: the summary as rows of text. Pure.

Of a table longer than `SHOWN` rows, only those are visible until the reader opens the rest.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from amoc.base.clock import format_duration
from amoc.results import kinds, message_account
from amoc.results import summary_types as parts
from amoc.results.counts import busiest
from amoc.results.report import traces
from amoc.results.report.latency import QUANTILES
from amoc.results.report.texts import clip, figure, moment, number, shortened, size, worker
from amoc.results.report.timer_pairs import Pair
from amoc.results.step_rows import (
    CHECK_HEADS,
    MAX_SAMPLE,
    NO_VALUE,
    cells,
    check_cells,
    heads,
    span,
)
from amoc.results.steps import executed, responds
from amoc.results.steps import failures as every_failure

SHOWN = 20
MAX_NAME = 120
MAX_CAUSES = 200
MAX_TRACEBACKS = 50
MAX_SETTINGS = 1_000

_Row = tuple[str, ...]


@dataclass(frozen=True)
class Table:
    """A table.

    Attributes:
        key: Its id in the page.
        title: Its title.
        heads: Headings of its columns; the first column holds the headings of rows.
        rows: Its cells.
        texts: Indices of columns that hold text, which is left-aligned.
        note: A sentence on how to read it.
    """

    key: str
    title: str
    heads: Sequence[str]
    rows: Sequence[_Row] = ()
    texts: frozenset[int] = frozenset()
    note: str = ""

    @property
    def shown(self) -> Sequence[_Row]:
        """The rows that are visible at first."""
        return self.rows[:SHOWN]

    @property
    def more(self) -> Sequence[_Row]:
        """The rows that the reader can open."""
        return self.rows[SHOWN:]


@dataclass(frozen=True)
class Cause:
    """Why iterations raised, or what blocked a worker.

    Attributes:
        text: The cause.
        count: How often it occurred.
        user_id: The user that the sample is from; None if unknown.
        traceback: The sample; empty if there is none.
    """

    text: str
    count: int
    user_id: int | None
    traceback: str


def timers(pairs: Iterable[Pair], found: parts.Timers, key: str) -> Table:
    """Return the table of timers with all percentiles; each twin follows its timer."""
    rows = []
    for pair in pairs:
        for name in pair.names:
            one = found[name]
            figures = (figure(one.get(of), "s") for of in ("mean_s", *QUANTILES.values()))
            rows.append((clip(name, MAX_NAME), number(one["count"]), *figures))
    return Table(key, "Timers", ("timer", "count", "mean", *QUANTILES), rows)


def messages(found: Mapping[str, int], rates: Mapping[str, float | None]) -> Table:
    """Return the table of whether each message arrived, once, in order and in time."""
    rows = [
        (
            one.name,
            number(one.total),
            number(shortened(rates.get(one.name))),
            figure(one.share, "%"),
        )
        for one in message_account.rows(found)
    ]
    heads = ("messages", "total", "per second", "of expected")
    note = "Whether each message arrived, once and in order. The timer message_ttd shows how fast."
    return Table("messages", "Messages", heads, rows, note=note)


def requests(found: Mapping[str, parts.StepPart]) -> Table:
    """Return the table of steps: counts, rates, times and failures; the busiest are visible."""
    shown = executed(found)
    first = set(busiest({name: one["count"] for name, one in shown.items()})[:SHOWN])
    with_response = responds(shown)
    sized = any(one["bytes"] for one in shown.values())
    rows = [
        (
            clip(name, MAX_NAME),
            *cells(one, with_response),
            *([size(one["bytes"]) if one["bytes"] else NO_VALUE] if sized else []),
        )
        for name, one in sorted(shown.items(), key=lambda item: item[0] not in first)
    ]
    names = ("request", *heads(with_response), *(["read"] if sized else []))
    return Table("requests", "Requests", names, rows)


def failures(found: Mapping[str, parts.StepPart]) -> Table:
    """Return the table of why and when steps failed."""
    rows = [
        (
            clip(one.step, MAX_NAME),
            clip(one.cause["cause"], MAX_NAME),
            number(one.cause["count"]),
            *span(one),
            clip(one.cause["message"], MAX_SAMPLE),
        )
        for one in every_failure(found)[:MAX_CAUSES]
    ]
    heads = ("request", "cause", "failures", "first", "last", "example")
    return Table("failures", "Failures by cause", heads, rows, frozenset({1, 5}))


def checks(made: Mapping[str, parts.CheckPart]) -> Table:
    """Return the table of how often each check passed."""
    rows = [
        (clip(name, MAX_NAME), *check_cells(one))
        for name, one in made.items()
        if one["passed_share"] is not None
    ]
    return Table("checks", "Checks", ("check", *CHECK_HEADS), rows)


def kinds_of_users(found: Iterable[kinds.KindRow]) -> Table:
    """Return the table of kinds of users, or of the scenarios of a run that has several."""
    rows = [
        (
            clip(one.name, MAX_NAME),
            number(one.users) if one.users else NO_VALUE,
            number(one.iterations),
            number(shortened(one.per_s)),
            number(one.crashes),
        )
        for one in found
    ]
    return Table("kinds", "Kinds of users", ("kind", *kinds.HEADS), rows)


def counters(found: Mapping[str, int], rates: Mapping[str, float | None]) -> Table:
    """Return the table of counters, busiest first."""
    rows = [
        (clip(name, MAX_NAME), number(count), number(shortened(rates.get(name))))
        for name, count in ((name, found[name]) for name in busiest(found))
    ]
    return Table("counters", "Counters", ("counter", "total", "per second"), rows)


def gauges(found: Mapping[str, float | None]) -> Table:
    """Return the table of the final values of gauges."""
    rows = [
        (clip(name, MAX_NAME), "not finite" if value is None else number(value))
        for name, value in found.items()
    ]
    return Table("gauges", "Gauges", ("gauge", "final value"), rows)


def throttles(found: Mapping[str, parts.ThrottlePart]) -> Table:
    """Return the table of throttles over the whole run."""
    rows = [
        (
            clip(name, MAX_NAME),
            _limit(one),
            number(one.get("requests", 0)),
            number(one.get("executions", 0)),
            number(shortened(one.get("executions_per_s"))),
            number(one.get("missed", 0)),
            number(one.get("waiting", 0)),
        )
        for name, one in found.items()
        if one.get("requests")
    ]
    heads = ("throttle", "final rate", "requests", "executions", "per second", "missed slots")
    return Table("throttles", "Throttles", (*heads, "waiting at the end"), rows, frozenset({1}))


def _limit(one: parts.ThrottlePart) -> str:
    if one.get("mode") == "stopped":
        return "stopped"
    rate, interval_s = one.get("rate"), one.get("interval_s")
    if rate is None:
        return "no limit"
    return f"{number(rate / interval_s)}/s" if interval_s else f"{number(rate)} at once"


def nodes(found: Sequence[parts.NodePart]) -> Table:
    """Return the table of nodes; empty if there is only one."""
    rows = [
        (
            one["name"],
            one["host"],
            one["id"],
            number(one["workers"]),
            one["state"],
            figure(one.get("joined_at_s"), "s"),
            figure(one["lost_at_s"], "s"),
            number(one["restarted"]),
            number(one["lost"]),
            figure(one.get("clock_bound_s") or None, "s"),
            one["reason"],
        )
        for one in found
        if len(found) > 1
    ]
    heads = (
        *("node", "host", "id", "workers", "state", "joined at", "lost at"),
        *("users restarted elsewhere", "users lost", "clock within", "reason"),
    )
    return Table("nodes", "Nodes", heads, rows, frozenset({1, 2, 4, 10}))


def workers(found: Iterable[parts.WorkerPart], duration_s: float) -> Table:
    """Return the table of workers over the whole run."""
    rows = [
        (
            worker(one["node"], one["worker"]),
            number(one.get("users_peak", 0)),
            number(one.get("restarts", 0)),
            figure(one.get("cpu_s", 0.0) / duration_s, "%") if duration_s else NO_VALUE,
            size(one.get("max_rss_bytes", 0)),
            figure(one.get("loop_lag_p99_s", 0.0), "s"),
        )
        for one in found
    ]
    heads = ("worker", "peak users", "restarts", "CPU", "memory", "loop lag p99")
    return Table("workers", "Workers", heads, rows)


def findings(found: Sequence[parts.Finding]) -> Table:
    """Return the table of limits that the load generator exceeded."""
    rows = [
        (
            clip(one.get("where", ""), 80),
            clip(str(one.get("text", "")).removeprefix(f"{one.get('where', '')}: "), 400),
            f"{moment(one.get('from_s'))} to {moment(one.get('to_s'))}",
            clip(one.get("advice", ""), 500),
        )
        for one in found
    ]
    heads = ("component", "finding", "time", "recommendation")
    return Table("findings", "Findings", heads, rows, frozenset({1, 2, 3}))


def blocked(found: Sequence[parts.BlockedPart]) -> list[Cause]:
    """Return the lines of the scenario that blocked a whole worker, each with a sampled stack."""
    return [
        Cause(
            f"{clip(one.get('place', ''))}: {format_duration(one.get('total_s', 0.0))} in total,"
            f" {format_duration(one.get('longest_s', 0.0))} at most",
            one.get("times", 0),
            None,
            traces.shortened(one.get("trace") or ""),
        )
        for one in found[:MAX_TRACEBACKS]
    ]


def settings(found: Sequence[parts.SettingPart]) -> Table:
    """Return the table of settings: the scenario's before amoc's own, explicit ones first."""

    def rank(one: parts.SettingPart) -> tuple[bool, bool]:
        return str(one.get("module")).startswith("amoc."), one.get("source") == "default"

    rows = [
        (
            clip(one.get("name", ""), MAX_NAME),
            clip(one.get("value", "")),
            clip(one.get("source", ""), MAX_NAME),
            clip(one.get("description") or ""),
            clip(one.get("module") or "", MAX_NAME),
        )
        for one in sorted(found, key=rank)[:MAX_SETTINGS]
    ]
    heads = ("setting", "value", "source", "description", "module")
    return Table("settings", "Settings", heads, rows, frozenset({1, 2, 3, 4}))


def versions(found: Mapping[str, str]) -> Table:
    """Return the table of software versions used by the run."""
    rows = [(clip(name, 40), clip(value)) for name, value in found.items()]
    return Table("versions", "Versions", ("component", "version"), rows, frozenset({1}))


def causes(found: Sequence[parts.CrashPart]) -> list[Cause]:
    """Return why iterations raised, most frequent cause first; the first ones have a traceback."""
    return [
        Cause(
            clip(one["cause"], 400),
            one["count"],
            one.get("user_id"),
            traces.shortened(one.get("traceback") or "") if at < MAX_TRACEBACKS else "",
        )
        for at, one in enumerate(found[:MAX_CAUSES])
    ]
