"""The setup of two runs, and its differences."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from amoc.base.clock import format_duration
from amoc.results.saved_run import SavedRun


@dataclass(frozen=True)
class Difference:
    """A difference in the setup of the runs; a value is empty if the run does not have it."""

    kind: str
    name: str
    first: str
    second: str


def differences(first: SavedRun, second: SavedRun) -> list[Difference]:
    """Return the differences in the setup of two runs."""
    one, other = _setup(first), _setup(second)
    return [
        Difference(*key, one.get(key, ""), other.get(key, ""))
        for key in dict.fromkeys((*one, *other))
        if one.get(key) != other.get(key)
    ]


def _setup(record: SavedRun) -> dict[tuple[str, str], str]:
    summary = record.summary
    run = summary["run"]
    setup = {("run", name): str(run.get(name, "")) for name in ("scenario", "verdict")}
    setup |= {("run", name): text for name, text in _plan(record).items()}
    warmup_s = float(run.get("warmup_s") or 0.0)
    setup["run", "warm-up"] = format_duration(warmup_s) if warmup_s else "none"
    setup["run", "workers"] = str(len(summary.get("workers", ())))
    setup |= {("setting", one["name"]): str(one["value"]) for one in summary.get("settings", ())}
    setup |= {("version", name): str(one) for name, one in summary.get("versions", {}).items()}
    return setup


def _plan(record: SavedRun) -> dict[str, str]:
    """Return the plan, from the journal."""
    entry = next((one for one in record.journal if one["kind"] == "run"), {})
    plan, setup = entry.get("plan") or {}, {}
    first, end = plan.get("users") or (0, 0)
    if end > first:  # there may be only stages or an arrival rate
        setup["users"] = f"{first} to {end - 1}"
    if stages := plan.get("stages"):
        setup["stages"] = str(stages["text"])
    if arrivals := plan.get("arrivals"):
        setup["arrival rate"] = str(arrivals["rate"])
        setup["max users"] = str(arrivals["max_users"])
    if plan.get("duration_s"):
        setup["duration"] = format_duration(plan["duration_s"])
    for name, rate in (plan.get("rates") or {}).items():
        setup[f"throttle {name}"] = str(rate)
    scenario = entry.get("scenario")
    if isinstance(scenario, Mapping) and scenario.get("sha256"):
        setup["scenario file"] = f"sha256 {scenario['sha256'][:12]}…"
    return setup
