"""The setup of two runs, and its differences."""

from __future__ import annotations

from dataclasses import dataclass

from amoc.base.clock import format_duration
from amoc.base.json_plain import number_in, object_in, objects_in, text_in
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
    run = object_in(summary, "run")
    setup = {("run", name): str(run.get(name, "")) for name in ("scenario", "verdict")}
    setup |= {("run", name): text for name, text in _plan(record).items()}
    warmup_s = number_in(run, "warmup_s")
    setup["run", "warm-up"] = format_duration(warmup_s) if warmup_s else "none"
    setup["run", "workers"] = str(len(objects_in(summary, "workers")))
    setup |= {
        ("setting", text_in(one, "name")): str(one.get("value"))
        for one in objects_in(summary, "settings")
    }
    versions = object_in(summary, "versions")
    return setup | {("version", name): str(one) for name, one in versions.items()}


def _plan(record: SavedRun) -> dict[str, str]:
    """Return the plan, from the journal."""
    entry = next((one for one in record.journal if one["kind"] == "run"), {})
    plan, setup = object_in(entry, "plan"), {}
    match plan.get("users"):
        case [int(first), int(stop)] if stop > first:  # else only stages or an arrival rate
            setup["users"] = f"{first} to {stop - 1}"
    if stages := object_in(plan, "stages"):
        setup["stages"] = text_in(stages, "text")
    if arrivals := object_in(plan, "arrivals"):
        setup["arrival rate"] = str(arrivals.get("rate"))
        setup["max users"] = str(arrivals.get("max_users"))
    if duration_s := number_in(plan, "duration_s"):
        setup["duration"] = format_duration(duration_s)
    for name, rate in object_in(plan, "rates").items():
        setup[f"throttle {name}"] = str(rate)
    if sha256 := text_in(object_in(entry, "scenario"), "sha256"):
        setup["scenario file"] = f"sha256 {sha256[:12]}…"
    return setup
