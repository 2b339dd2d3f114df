"""The summary of a run, as `docs/summary.md` describes it. Pure.

It is always made from the sum of the run's seconds (`RunTotals`) and the facts in its journal
(`JournalFacts`). A controller at the end of a run has both in memory; for a run that left no
summary, both are read from its directory. The figures are identical, provided that everything was
written.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping, Sequence
from datetime import UTC, datetime
from math import isfinite
from types import MappingProxyType
from typing import cast

from amoc.base.clock import format_duration, utc_text
from amoc.base.json_plain import Json, object_in, text_in, texts_in
from amoc.metrics import reserved
from amoc.metrics.health_figures import WorkerPoint
from amoc.metrics.histogram import Histogram
from amoc.metrics.timer_statistics import statistics
from amoc.metrics.timer_sums import TimerSums
from amoc.results import steps
from amoc.results import summary_types as parts
from amoc.results.counts import ranked, throttle
from amoc.results.journal_facts import CrashSample, Entry, JournalFacts
from amoc.results.run_totals import RunTotals
from amoc.results.series import USERS, Point, Tally
from amoc.results.thresholds import threshold
from amoc.results.verdict import Verdict, incomplete


def rebuild(
    name: str, directory: str, journal: Sequence[Entry], points: Collection[Point], running: bool
) -> parts.Summary:
    """Make the summary of a run that left none.

    Args:
        name: The run's name, used if its journal gives none.
        directory: The run directory.
        journal: The journal's entries, as far as they exist.
        points: The run's series, likewise.
        running: Whether the run is still running.
    """
    facts = JournalFacts.of(journal)
    totals = RunTotals.of(points, facts.warmup_s, facts.stages, facts.arrivals, facts.others)
    return make(facts, totals, directory, name=name, running=running)


def make(
    facts: JournalFacts, totals: RunTotals, directory: str, *, name: str = "", running: bool = False
) -> parts.Summary:
    """Make the summary of a run.

    Args:
        facts: The facts in its journal.
        totals: The sum of its seconds.
        directory: The run directory.
        name: The run's name, used if the journal gives none.
        running: Whether it is still running. If not, a run whose journal has no end was killed.
    """
    whole = totals.whole
    crashes = _crashes(whole, facts.crashes)
    known = {**facts.known, **totals.known}
    summary: parts.Summary = {
        "run": _run(facts, totals, directory, name, running),
        "users": _users(totals, sum(one["count"] for one in crashes)),
        "steps": steps.steps(whole, known, facts.failures),
        "checks": steps.checks(whole, known),
        "crashes": crashes,
        "counters": dict(sorted(whole.counters.items())),
        "counters_per_s": _counters_per_s(whole),
        "gauges": _gauges(whole.last),
        "timers": _timers(whole.timers, reserved.EVERY_RUN),
        "throttles": _throttles(whole),
        "nodes": list(facts.nodes.values()),
        "workers": [_worker(totals.workers[place]) for place in sorted(totals.workers)],
        "versions": _versions(facts.run),
        "settings": facts.run.get("settings", []),
        "thresholds": [
            threshold.to_json(one, one.evaluate(totals.window, known)) for one in facts.thresholds
        ],
        "blocked": [
            one.to_json(place)
            for place, one in sorted(facts.blocked.items(), key=lambda item: -item[1].total_ns)
        ],
    }
    if totals.judged:
        summary["health"] = totals.health.to_json()
    if facts.warmup_s:
        summary["window"] = window_of(totals.window, known, facts.failures)
    return summary


def lacking(run: parts.RunPart, missing: Sequence[str]) -> parts.RunPart:
    """Return the ``run`` part of a summary, for a run of which something is missing.

    Args:
        run: The part without that.
        missing: What is missing, one sentence each.
    """
    told = Verdict(run["verdict"], run.get("exit_code"), tuple(run.get("reasons", ())))
    found = incomplete(told, missing)
    judged = {"verdict": found.verdict, "exit_code": found.exit_code}
    return cast("parts.RunPart", {**run, **judged, "reasons": list(found.reasons)})


def steady_part(summary: parts.Summary) -> parts.WindowPart | None:
    """Return the part after the warm-up; None without a warm-up, or if the run ended during it."""
    window = summary.get("window")
    return window if window and window.get("duration_s", window.get("to_s")) else None


def window_of(
    tally: Tally, known: Collection[str] = (), samples: steps.Samples = MappingProxyType({})
) -> parts.WindowPart:
    """Return the steady part of a run for the summary, in the same form as its totals.

    Args:
        tally: The sum of the points after the warm-up.
        known: The names of all metrics of the run.
        samples: Sample failures by step and cause.
    """
    return {
        "from_s": round(tally.first.begin_s, 6) if tally.first else 0.0,
        "to_s": tally.last.t_s if tally.last else 0.0,
        "duration_s": round(tally.span_s, 6),
        "active_s": round(tally.active_s, 6),
        "steps": steps.steps(tally, known, samples),
        "checks": steps.checks(tally, known),
        "crashes": [{"cause": cause, "count": n} for cause, n in ranked(tally.crashes)],
        "counters": dict(sorted(tally.counters.items())),
        "counters_per_s": _counters_per_s(tally),
        "timers": _timers(tally.timers),
        "throttles": _throttles(tally),
    }


def _run(
    facts: JournalFacts, totals: RunTotals, directory: str, name: str, running: bool
) -> parts.RunPart:
    run, plan, whole = facts.run, facts.plan, totals.whole
    scenario = run.get("scenario", "")
    duration_s = facts.duration_s(whole.last.t_s if whole.last is not None else None)
    verdict, exit_code, reasons = _end(facts.end, duration_s, running)
    if not whole.points:
        reasons.append("the run has no per-second data, so its totals are unknown")
    end = facts.end or {}
    return {
        "id": run.get("id") or name,
        "scenario": scenario.get("source", "") if isinstance(scenario, Mapping) else scenario,
        "comment": text_in(plan, "comment"),
        "seed": _whole(plan.get("seed")),
        "started_at": run.get("started_at") or run.get("at", ""),
        "ended_at": _ended_at(facts, whole),
        "stages": text_in(object_in(plan, "stages"), "text"),
        "arrival_rate": str(object_in(plan, "arrivals").get("rate", "")),
        "targets": facts.targets,
        "duration_s": round(duration_s, 3),
        "paused_s": round(facts.paused_s(duration_s), 3),
        "active_s": round(whole.active_s, 6),
        "directory": directory,
        "warmup_s": facts.warmup_s,
        "verdict": verdict,
        "exit_code": exit_code,
        "reasons": reasons,
        "notes": texts_in(end, "notes") if "notes" in end else totals.notes(),
    }


def _whole(found: Json) -> int | None:
    return found if isinstance(found, int) else None


def _ended_at(facts: JournalFacts, whole: Tally) -> str:
    """Return when the run ended, or its last known second, in UTC; empty if nothing is known."""
    if facts.end is not None and facts.end.get("at"):
        return str(facts.end["at"])
    if whole.last is None or not whole.last.at:
        return ""
    return utc_text(datetime.fromtimestamp(whole.last.at, UTC))


def _end(end: Entry | None, duration_s: float, running: bool) -> tuple[str, int | None, list[str]]:
    """Return verdict, exit code and reasons."""
    if end is not None:
        reasons = texts_in(end, "reasons") or [*filter(None, [text_in(end, "message")])]
        return str(end.get("verdict", "failed")), _whole(end.get("exit_code")), reasons
    after = f"after {format_duration(duration_s)}" if duration_s else "before a user could start"
    if running:
        return "running", None, [f"the run is still running; these are its results {after}"]
    return "killed", None, [f"the run was killed {after}; what came later is unknown"]


def _users(totals: RunTotals, crashed: int) -> dict[str, float]:
    last = totals.whole.last
    said = last.users if last is not None else {}
    users = {name: said.get(name, 0) for name in USERS if name != "waiting"}
    return {
        **users,
        "not_started": said.get("waiting", 0),
        "crashed": crashed,
        "starts_per_s_peak": round(totals.starts_per_s_peak, 1),
    }


def _crashes(tally: Tally, samples: Mapping[str, CrashSample]) -> list[parts.CrashPart]:
    """Return crashes by cause, most frequent first. The last ones may be in the journal only."""
    counts = {**dict.fromkeys(samples, 1), **tally.crashes}
    found: list[parts.CrashPart] = []
    for cause, count in ranked(counts):
        one = samples.get(cause, CrashSample())
        found.append(
            {"cause": cause, "count": count, "user_id": one.user_id, "traceback": one.traceback}
        )
    return found


def _counters_per_s(tally: Tally) -> dict[str, float | None]:
    return {name: _rounded(tally.counter_per_s(name)) for name in sorted(tally.counters)}


def _gauges(last: Point | None) -> dict[str, float | None]:
    gauges = sorted(last.gauges.items()) if last is not None else []
    return {name: value if isfinite(value) else None for name, value in gauges}


def _timers(timers: TimerSums, more: Iterable[str] = ()) -> dict[str, dict[str, float]]:
    found = {**{name: Histogram() for name in more}, **timers.packed()}
    return {name: statistics(one) for name, one in sorted(found.items())}


def _throttles(tally: Tally) -> dict[str, parts.ThrottlePart]:
    return {
        name: {
            "rate": one.rate,
            "interval_s": one.interval_s,
            "mode": one.mode,
            "requests": one.requests,
            "executions": one.executions,
            "missed": one.missed,
            "waiting": one.waiting,
            "executions_per_s": _rounded(tally.per_second(throttle(name, "executions"))),
        }
        for name, one in tally.by_throttle().items()
    }


def _rounded(rate: float | None) -> float | None:
    return round(rate, 3) if rate is not None else None


def _worker(one: WorkerPoint) -> parts.WorkerPart:
    return {
        "node": one.node,
        "worker": one.worker,
        "restarts": max(0, one.incarnation - 1),
        "users_peak": one.users_peak,
        "cpu_s": round(one.cpu_s, 6),
        "max_rss_bytes": one.max_rss_bytes,
        "loop_lag_p99_s": one.loop_lag_p99_s,
    }


def _versions(run: Entry) -> dict[str, str]:
    known = object_in(run, "versions") or {name: run.get(name) for name in ("amoc", "python")}
    return {name: str(value) for name, value in known.items() if value}
