"""The summary of a run that has left none, made of its journal and its series. Pure.

Points add up, so their sum is what the summary would have said, up to the last second that was
written. What no point tells is taken from the journal: the plan, the settings, tracebacks, what
blocked a worker, how it ended. What neither of them tells is said in `run.reasons`.

Some figures are weaker than those of a run that wrote its summary itself: a worker's most users
and most memory are those at the ends of seconds, and its loop lag is the 99th percentile of each
second's worst, which is at least that of all turns. Metrics of the scenario that counted nothing
are not there.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from itertools import pairwise
from typing import Any

from amoc.base.clock import S_NS, format_duration
from amoc.base.errors import UsageError
from amoc.metrics.histogram import Histogram
from amoc.results.live_totals import BUILT_IN_TIMERS, finite, throttle_summary, timer_summary
from amoc.results.run_totals import RunTotals
from amoc.results.series import Point, Tally, ThrottlePoint
from amoc.results.thresholds import threshold

_NOTHING_RECORDED = {name: timer_summary(Histogram()) for name in sorted(BUILT_IN_TIMERS)}

_Entry = Mapping[str, Any]


def rebuild(
    name: str, directory: str, journal: Sequence[_Entry], points: Iterable[Point], running: bool
) -> dict[str, Any]:
    """The summary as `docs/summary.md` describes it.

    Args:
        name: What the run is called where its journal does not say.
        directory: Where it has left what is read here.
        journal: Its entries, as far as there are any.
        points: Its series, likewise; it is gone through once.
        running: Whether it still runs.
    """
    run = next((one for one in journal if one["kind"] == "run"), {})
    warmup_s = float(_plan(run).get("warmup_s") or 0.0)
    totals = RunTotals.of(points, warmup_s)
    tally, duration_s = totals.whole, _duration_s(journal, totals.whole)
    crashes = _crashes(tally, journal)
    summary = {
        "run": _run(name, directory, run, journal, duration_s, running, bool(tally.points)),
        "users": totals.users(sum(one["count"] for one in crashes)),
        "crashes": crashes,
        "counters": dict(sorted(tally.counters.items())),
        "gauges": _gauges(tally.last),
        "timers": {**_NOTHING_RECORDED, **_timers(tally)},
        "throttles": throttles_of(tally, duration_s),
        "workers": totals.workers(),
        "versions": _versions(run),
        "settings": _settings(run),
        **_judged(run, totals),
        "blocked": _blocked(journal),
    }
    if warmup_s:
        summary["window"] = window_of(totals.window.all)
    return summary


def window_of(tally: Tally) -> dict[str, Any]:
    """The steady part of a run for the summary: the same shapes as its totals.

    Args:
        tally: The sum of the points after the warm-up.
    """
    crashes = sorted(tally.crashes.items(), key=lambda item: (-item[1], item[0]))
    return {
        "from_s": round(tally.first.begin_s, 6) if tally.first else 0.0,
        "to_s": tally.last.t_s if tally.last else 0.0,
        "duration_s": round(tally.span_s, 6),
        "crashes": [{"cause": cause, "count": count} for cause, count in crashes],
        "counters": dict(sorted(tally.counters.items())),
        "timers": _timers(tally),
        "throttles": throttles_of(tally, tally.span_s),
    }


def throttles_of(tally: Tally, duration_s: float) -> dict[str, Any]:
    """Throttles for the summary; a throttle that the last point does not have was stopped."""
    last, found = tally.last.throttles if tally.last else {}, {}
    for name, counts in sorted(tally.throttles.items()):
        state = last.get(name, ThrottlePoint())
        found[name] = throttle_summary(state, {**counts, "waiting": state.waiting}, duration_s)
    return found


def _timers(tally: Tally) -> dict[str, Any]:
    return {name: timer_summary(one) for name, one in sorted(tally.timers.items())}


def _gauges(last: Point | None) -> dict[str, float | None]:
    gauges = sorted(last.gauges.items()) if last else []
    return {name: finite(value) for name, value in gauges}


def _plan(run: _Entry) -> dict[str, Any]:
    return {**run, **(run.get("plan") or {})}


def _run(
    name: str,
    directory: str,
    run: _Entry,
    journal: Sequence[_Entry],
    duration_s: float,
    running: bool,
    counted: bool,
) -> dict[str, Any]:
    plan = _plan(run)
    scenario = run.get("scenario", "")
    verdict, exit_code, reasons = _end(journal, duration_s, running)
    if not counted:
        reasons.append("its series holds no second, so what it counted is not known")
    return {
        "id": run.get("id") or name,
        "scenario": scenario.get("source", "") if isinstance(scenario, Mapping) else scenario,
        "comment": plan.get("comment", ""),
        "seed": plan.get("seed"),
        "started_at": run.get("at", ""),
        "duration_s": round(duration_s, 3),
        "paused_s": round(_paused_s(journal, duration_s), 3),
        "directory": directory,
        "verdict": verdict,
        "exit_code": exit_code,
        "warmup_s": float(plan.get("warmup_s") or 0.0),
        "reasons": reasons,
        "notes": [],
    }


def _end(
    journal: Sequence[_Entry], duration_s: float, running: bool
) -> tuple[str, int | None, list[str]]:
    """Verdict, exit code and reasons."""
    end = next((one for one in reversed(journal) if one["kind"] == "end"), None)
    if end is not None:
        message = end.get("message")
        reasons = [*(end.get("reasons") or ([message] if message else []))]
        return str(end.get("verdict", "failed")), end.get("exit_code"), reasons
    after = f"after {format_duration(duration_s)}" if duration_s else "before a user could start"
    if running:
        return "running", None, [f"the run goes on; these are its figures {after}"]
    return "killed", None, [f"the run was killed {after}; what came later is not known"]


def _judged(run: _Entry, totals: RunTotals) -> dict[str, Any]:
    """What was expected and how the generator did, as far as the run has come."""
    try:
        expected = threshold.gather(
            (threshold.COMMAND_LINE, _texts((run.get("plan") or {}).get("expectations"))),
            ("scenario", _texts(run.get("expectations"))),
        )
    except UsageError:  # another version of amoc understood them
        expected = []
    window = totals.window
    results = [(one, one.evaluate(window, totals.known)) for one in expected]
    return {
        "expectations": [threshold.to_json(*one) for one in results],
        "health": totals.health.to_json(),
    }


def _texts(found: Any) -> list[str]:
    return [one for one in found if isinstance(one, str)] if isinstance(found, list) else []


def _duration_s(journal: Sequence[_Entry], tally: Tally) -> float:
    """Until its end, where the journal has one; else to where its figures reach."""
    told = [float(one["t_s"]) for one in journal if one["kind"] == "end" and one.get("t_s")]
    if not told and tally.last is None:
        told = [float(one["t_s"]) for one in journal if one.get("t_s")]
    return max(told) if told else tally.last.t_s if tally.last is not None else 0.0


def _paused_s(journal: Sequence[_Entry], duration_s: float) -> float:
    states = [one for one in journal if one["kind"] == "state"]
    moments = [(float(one.get("t_s") or 0.0), one.get("state")) for one in states]
    spans = pairwise([*moments, (duration_s, "")])
    return sum(max(0.0, end - begin) for (begin, state), (end, _) in spans if state == "paused")


def _crashes(tally: Tally, journal: Sequence[_Entry]) -> list[dict[str, Any]]:
    """By cause, the most frequent first; the last second's may be in the journal only."""
    samples = {str(one.get("cause")): one for one in journal if one["kind"] == "crash"}
    counts = {**dict.fromkeys(samples, 1), **tally.crashes}
    found = []
    for cause, count in sorted(counts.items(), key=lambda item: (-item[1], item[0])):
        sample = samples.get(cause, {})
        kept = {"user_id": sample.get("user_id", 0), "traceback": sample.get("traceback", "")}
        found.append({"cause": cause, "count": count, **kept})
    return found


def _versions(run: _Entry) -> dict[str, str]:
    known = run.get("versions") or {name: run.get(name) for name in ("amoc", "python")}
    return {name: str(value) for name, value in known.items() if value}


def _settings(run: _Entry) -> list[dict[str, Any]]:
    found = []
    for name, one in (run.get("settings") or {}).items():
        rest = {"description": one.get("description", ""), "module": one.get("module", "")}
        found.append({"name": name, "value": one["value"], "source": one["from"], **rest})
    return found


def _blocked(journal: Sequence[_Entry]) -> list[dict[str, Any]]:
    """What kept workers from turning, by place; each entry says what is new since the last one."""
    places: dict[str, dict[str, Any]] = {}
    for entry in (one for one in journal if one["kind"] == "blocked"):
        fresh = {"place": entry["place"], "times": 0, "total_s": 0.0, "longest_s": 0.0, "trace": ""}
        place = places.setdefault(entry["place"], fresh)
        place["times"] += entry["times"]
        place["total_s"] += entry["total_ns"] / S_NS
        place["longest_s"] = max(place["longest_s"], entry["longest_ns"] / S_NS)
        place["trace"] = place["trace"] or entry.get("trace", "")
    for place in places.values():
        place |= {name: round(place[name], 3) for name in ("total_s", "longest_s")}
    return sorted(places.values(), key=lambda one: -one["total_s"])
