"""A report's charts over time, of the metrics that `Charted` names. Pure."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence

from amoc.metrics.step_names import COUNT, FAILURES
from amoc.metrics.timer_statistics import FRACTIONS, MAIN
from amoc.results import counts
from amoc.results.report.charted import SHOWN, Charted, Names
from amoc.results.report.charts import COLOURS, GREY, Chart, Group, Labels, Line
from amoc.results.report.columns import growth, highest, latest, quantiles, rates, throttle_level
from amoc.results.report.rows import Row
from amoc.results.series import Point
from amoc.scenario.start_rate import USER_RATE

_COLOUR_OF = {"p50": 1, "p95": 3, "p99": 2, "max": GREY}


def left_out(count: int, of: str) -> str:
    """Return a sentence on the `count` things that have no chart."""
    return f"{count:,} {of} are not charted; see the tables below." if count > 0 else ""


def users(rows: Sequence[Row], keep: Labels) -> Chart:
    """Return the chart of users by state; lines that are always 0 are left out unless in `keep`."""
    lines = [
        Line("running", highest(rows, lambda one: one.users.get("running")), 1, "area"),
        Line("resting", latest(rows, lambda one: one.users.get("resting")), 2, "dash"),
        Line("pending", highest(rows, lambda one: one.users.get("waiting")), 5),
        Line("finished", latest(rows, lambda one: one.users.get("finished")), 3, "dash"),
        Line("removed", latest(rows, lambda one: one.users.get("removed")), 4, "dash"),
        Line("timed out", latest(rows, lambda one: one.users.get("timed_out")), 6, "dash"),
        Line("lost", latest(rows, lambda one: one.users.get("lost")), 7, "dash"),
        Line("restarted", latest(rows, lambda one: one.users.get("restarted")), 2, "dash"),
    ]
    kept = keep.get("users", ())
    return Chart("users", "Users", "", [one for one in lines if any(one.known) or one.name in kept])


def starts(rows: Sequence[Row]) -> Chart:
    """Return the chart of how fast users started."""
    values = growth(rows, lambda one: one.users.get("started", 0))
    return Chart("starts", "User starts", "/s", [Line("starts", values, 1, "area")])


def crashes(rows: Sequence[Row], causes: Names) -> Chart:
    """Return the chart of iterations that raised, by cause."""
    others = causes.others
    lines = [
        Line(name, rates(rows, counts.crashes(name)), colour)
        for name, colour in zip(causes.shown, (2, 1, 3, 4, 5, 6), strict=False)
    ]
    if others:
        rest = rates(rows, lambda one: sum(one.crashes[it] for it in one.crashes if it in others))
        lines.append(Line(f"{len(others)} other causes", rest, GREY))
    return Chart("crashes", "Crashed iterations", "/s", lines)


def _gauge(name: str) -> Callable[[Point], float | None]:
    return lambda point: point.gauges.get(name)


def load(rows: Sequence[Row], charted: Charted, keep: Labels) -> Group:
    """Return the charts of users, requests and counters; `keep` as for `users`."""
    charts = [users(rows, keep), starts(rows), *_requests(rows, charted)]
    shown, more = _counters(rows, charted.counters.shown)
    charts += shown
    if charted.causes.shown:
        charts.append(crashes(rows, charted.causes))
    title = "Less busy counters"
    missing = left_out(len(charted.counters.others), "less busy counters")
    return Group("load", "Load", charts, more, title, missing)


def _requests(rows: Sequence[Row], charted: Charted) -> list[Chart]:
    """Return charts of requests and failures per second; the busiest by name."""
    charts = []
    for key, title, end, names in (
        ("requests", "Requests", COUNT, charted.requests.shown),
        ("failures", "Failures", FAILURES, charted.failures.shown),
    ):
        lines = [
            Line(name, rates(rows, counts.counter(name + end)), number)
            for number, name in enumerate(names, 1)
        ]
        if lines:
            charts.append(Chart(key, title, "/s", lines))
    return charts


def _counters(rows: Sequence[Row], names: Sequence[str]) -> tuple[list[Chart], list[Chart]]:
    """Return charts of counters' rates, as many to a chart as there are colours."""
    charts = []
    for at in range(0, len(names), COLOURS):
        some = names[at : at + COLOURS]
        lines = [
            Line(name, rates(rows, counts.counter(name)), number)
            for number, name in enumerate(some, 1)
        ]
        title = "Counters" if at == 0 else f"Counters {at + 1} to {at + len(some)}"
        charts.append(Chart(f"counters{at}", title, "/s", lines))
    return charts[:1], charts[1:]


def gauges(rows: Sequence[Row], names: Names) -> Group:
    """Return a chart for each gauge, since they have nothing in common."""
    charts = [
        Chart(f"gauge{at}", name, "", [Line(name, highest(rows, _gauge(name)))])
        for at, name in enumerate(names.shown)
    ]
    missing = left_out(len(names.others), "gauges")
    return Group("gauges", "Gauges", charts[:SHOWN], charts[SHOWN:], "More gauges", missing)


def throttles(rows: Sequence[Row], names: Names, keep: Labels) -> Group:
    """Return two charts for each throttle.

    amoc's own throttle of user starts is included only if it had an effect: in most runs no user
    waits there. `keep` as for `users`.
    """
    charts = [
        chart
        for at, name in enumerate(names.shown)
        if name != USER_RATE or f"throttle{at}flow" in keep or _was_in_effect(rows, name)
        for chart in throttle(rows, f"throttle{at}", name, keep)
    ]
    missing = left_out(len(names.others), "throttles")
    shown, more = charts[: 2 * SHOWN], charts[2 * SHOWN :]
    return Group("throttles", "Throttles", shown, more, "More throttles", missing)


def _was_in_effect(rows: Iterable[Row], name: str) -> bool:
    """Return whether users ever waited at a throttle, or its rate was changed."""
    there = [
        (row.highest.throttles[name], row.last.throttles.get(name))
        for row in rows
        if name in row.highest.throttles
    ]
    wanted = {last.wanted_per_s for _, last in there if last is not None}
    return len(wanted) > 1 or any(most.waiting for most, _ in there)


def timer(rows: Sequence[Row], key: str, title: str, name: str, family: str) -> Chart:
    """Return the chart of a timer's percentiles."""
    columns = quantiles(rows, name, *FRACTIONS)
    lines = [
        Line(label, column, _COLOUR_OF[label], "dots" if label == "max" else "line")
        for label, column in zip((*(one.label for one in MAIN), "max"), columns, strict=True)
    ]
    return Chart(key, title, "s", lines, family=family)


def throttle(rows: Sequence[Row], key: str, name: str, keep: Labels) -> list[Chart]:
    """Return the charts of a throttle's target rate, requests and executions, and waiting users."""
    flow = [
        Line("requests", rates(rows, counts.throttle(name, "requests")), 5),
        Line("executions", rates(rows, counts.throttle(name, "executions")), 1),
        Line(
            "target rate",
            latest(rows, throttle_level(name, lambda one: one.wanted_per_s)),
            2,
            "step",
        ),
    ]
    kept = keep.get(f"{key}flow", ())
    shown = [line for line in flow if line.known or line.name in kept]
    waiting = highest(rows, throttle_level(name, lambda one: one.waiting))
    return [
        Chart(f"{key}flow", f"{name}: rate", "/s", shown),
        Chart(f"{key}wait", f"{name}: waiting users", "", [Line("waiting", waiting, 4, "area")]),
    ]
