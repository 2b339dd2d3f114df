"""The text of a report's sections: the context for their templates. Pure."""

from __future__ import annotations

import shlex
from collections.abc import Sequence

from amoc.base.clock import until
from amoc.results import kinds
from amoc.results.report import tables
from amoc.results.report.headline import Covered, cards, headline
from amoc.results.report.run_annotations import Annotation
from amoc.results.report.timer_pairs import pairs
from amoc.results.steps import without
from amoc.results.summary import steady_part
from amoc.results.summary_types import Summary

MAX_THRESHOLDS = 500
SECTIONS = (
    "verdict",
    "nav",
    "metrics",
    "requests",
    "thresholds",
    "health",
    "load",
    "latency",
    "throttles",
    "generator",
    "events",
    "crashes",
    "tables",
    "again",
)
"""Their templates are `templates/sections/NAME.html`; the page shows them in this order."""


def covered_by(summary: Summary) -> Covered:
    """Return the part of a run that key metrics and tables cover."""
    run, window = summary["run"], steady_part(summary)
    part = summary if window is None else window
    from_s, to_s = 0.0, run.get("duration_s", 0.0)
    if window is not None:
        from_s, to_s = window.get("from_s", 0.0), window.get("to_s", window.get("duration_s", 0.0))
    return Covered(
        is_part=window is not None,
        only_warmup=window is None and "window" in summary,
        from_s=from_s,
        to_s=to_s,
        warmup_s=run.get("warmup_s") or 0.0,
        steps=part.get("steps", {}),
        checks=part.get("checks", {}),
        kinds=kinds.rows(summary, part),
        counters=kinds.without(part.get("counters", {})),
        rates=part.get("counters_per_s", {}),
        timers=part.get("timers", {}),
        throttles=part.get("throttles", {}),
    )


def texts(
    summary: Summary,
    covered: Covered,
    events: tuple[Sequence[Annotation], int],
    directory: str,
    complete: bool,
) -> dict[str, object]:
    """Return the context of the templates, without charts.

    Args:
        summary: The run's summary.
        covered: The part of it that key metrics and tables cover.
        events: The rows of the table of events, and how many are left out.
        directory: The run directory.
        complete: Whether the run wrote its summary itself.

    If a server can supply single seconds of a run, it sets `detail_s` to how many at a time.
    """
    run, health = summary["run"], summary.get("health")
    target, _ = pairs(covered.timers)
    return {
        "run": run,
        "complete": complete,
        "headline": headline(run),
        "peak": summary.get("users", {}).get("peak", 0),
        "ended": until(run.get("started_at", ""), run.get("ended_at", "")),
        "cards": cards(summary, covered, target),
        "thresholds": list(summary.get("thresholds", ()))[:MAX_THRESHOLDS],
        "judged": health is not None,
        "read_share": 1.0,
        "detail_s": 0.0,
        "limited": health["limited"] if health is not None else False,
        "findings": tables.findings(list(health["findings"]) if health is not None else []),
        "blocked": tables.blocked(list(summary.get("blocked", ()))),
        "covered": covered,
        "events": events[0],
        "events_left_out": events[1],
        "causes": tables.causes(summary.get("crashes", ())),
        "more_causes": len(summary.get("crashes", ())) - tables.MAX_CAUSES,
        "tables": _tables(summary, covered),
        "again": shlex.join(["amoc", "replay", directory]),
    }


def _tables(summary: Summary, covered: Covered) -> dict[str, tables.Table]:
    duration_s = summary["run"].get("duration_s", 0.0)
    target, built_in = pairs(covered.timers)
    return {
        "messages": tables.messages(covered.counters, covered.rates),
        "requests": tables.requests(covered.steps),
        "failures": tables.failures(covered.steps),
        "checks": tables.checks(covered.checks),
        "kinds": tables.kinds_of_users(covered.kinds),
        "timers": tables.timers(target, covered.timers, "timers"),
        "generator_timers": tables.timers(built_in, covered.timers, "generator-timers"),
        "counters": tables.counters(
            without(covered.counters, covered.steps, covered.checks), covered.rates
        ),
        "gauges": tables.gauges(summary.get("gauges", {})),
        "throttles": tables.throttles(covered.throttles),
        "nodes": tables.nodes(summary.get("nodes", ())),
        "workers": tables.workers(summary.get("workers", ()), duration_s),
        "settings": tables.settings(summary.get("settings", ())),
        "versions": tables.versions(summary.get("versions", {})),
    }
