"""A run again: what the journal keeps of a run's plan, and the plan made of it.

The journal's ``run`` record holds the whole plan (ids, seed, stages, rates, durations, raw
settings of every source), what the scenario file looked like, and on how many workers it ran. The
plan made of it is the same one, with the commands that were given during the run at their times.
Secrets are not in the journal, so they must be given again.
"""

from __future__ import annotations

import hashlib
import platform
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from amoc import __version__
from amoc.engine.run import RunPlan
from amoc.errors import UsageError
from amoc.journal import plain, read
from amoc.messages import Loaded
from amoc.rundir import RunDirectory
from amoc.scenario import is_path
from amoc.settings import HIDDEN, is_secret
from amoc.sources import PREFIX
from amoc.stages import Stages

SOURCE = "replay"
"""The `source` of commands that a timeline gives."""
_ONLY_ASKS = ("status", "users")

_Source = tuple[str, Mapping[str, Any], bool]


def record_of(plan: RunPlan, loaded: Loaded | None, run_id: str) -> dict[str, Any]:
    """The fields of a journal's ``run`` record, as JSON has them: enough to run `plan` again.

    Args:
        plan: What is run.
        loaded: What its scenario turned out to be; None where that is not known.
        run_id: The run's id.
    """
    path = str(Path(plan.scenario).resolve()) if is_path(plan.scenario) else None
    record = {
        "id": run_id,
        "amoc": __version__,
        "python": platform.python_version(),
        "directory": str(Path.cwd()),
        "scenario": {
            "source": plan.scenario,
            "path": path,
            "sha256": digest(path) if path is not None else None,
        },
        "workers": loaded.workers if loaded is not None else None,
        # Values are texts for people here; where they came from stands with them.
        "settings": {one[0]: {"value": one[1], "from": one[2]} for one in loaded.settings}
        if loaded is not None
        else {},
        "plan": {
            "users": [plan.users.start, plan.users.stop],
            "duration_s": plan.duration_s,
            "sources": [[label, values, strict] for label, values, strict in plan.sources],
            "seed": plan.seed,
            "comment": plan.comment,
            "init_timeout_s": plan.init_timeout_s,
            "stop_timeout_s": plan.stop_timeout_s,
            "stages": None
            if plan.stages is None
            else {"text": str(plan.stages), "start": int(plan.stages.start)},
            "rates": dict(plan.rates),
            "timeline": [[t_s, name, arguments] for t_s, name, arguments in plan.timeline],
        },
    }
    found: dict[str, Any] = plain(record)
    return found


def plan_of(record: Mapping[str, Any]) -> RunPlan:
    """The plan that `record_of` made `record` of; its secrets say ``(hidden)``.

    Raises:
        UsageError: The record is none of ours.
    """
    try:
        kept, scenario = record["plan"], record["scenario"]
        stages = kept["stages"]
        return RunPlan(
            scenario=scenario["path"] or scenario["source"],
            users=range(*map(int, kept["users"])),
            duration_s=kept["duration_s"],
            sources=[(label, dict(values), strict) for label, values, strict in kept["sources"]],
            seed=int(kept["seed"]),
            comment=kept["comment"],
            init_timeout_s=kept["init_timeout_s"],
            stop_timeout_s=kept["stop_timeout_s"],
            stages=Stages.parse(stages["text"], stages["start"]) if stages is not None else None,
            rates=dict(kept["rates"]),
            timeline=[(t_s, name, dict(arguments)) for t_s, name, arguments in kept["timeline"]],
        )
    except (KeyError, TypeError, ValueError) as error:
        text = f"{type(error).__name__}: {error}"
        raise UsageError(f"the journal's run record must be one of amoc's, but {text}") from None


def digest(path: str) -> str | None:
    """The SHA-256 of a scenario's file; None when it cannot be read."""
    try:
        return hashlib.sha256(Path(path).read_bytes()).hexdigest()
    except OSError:
        return None


def prepare(
    directory: RunDirectory,
    given: Mapping[str, str],
    environment: Mapping[str, str],
    warn: Callable[[str], None],
) -> RunPlan:
    """The plan of the run whose directory is given, with its commands, to be run again.

    Args:
        directory: Where the run left its journal.
        given: Settings from the command line; they go before all others.
        environment: Where secrets are looked for, as ``AMOC_NAME``.
        warn: Told, a line each, what may make the run another one.

    Raises:
        AmocError: There is no journal, no plan in it, or a secret is missing.
    """

    def torn(number: int) -> None:
        warn(f"line {number} of {directory.journal} is torn, and passed over")

    entries = read(directory.journal, torn)
    record = next((one for one in entries if one["kind"] == "run"), None)
    if record is None:
        raise UsageError(f"{directory.journal} must hold a run's plan, but has no run record")
    plan = plan_of(record)
    for line in differences(record):
        warn(line)
    timeline = [*plan.timeline, *commands_of(entries, warn)]
    timeline.sort(key=lambda one: one[0])
    secrets = _secrets_again(record, plan, timeline, given, environment)
    pinned = {"workers": record["workers"]} if record.get("workers") else {}
    sources: list[_Source] = [
        ("--set", dict(given), True),
        *((label, _without_hidden(values), strict) for label, values, strict in plan.sources),
        (PREFIX + "{name}", secrets, False),
        ("the run that is replayed", pinned, False),
    ]
    again = [_revealed(one, {**secrets, **given}) for one in timeline]
    return replace(plan, sources=sources, timeline=again)


def commands_of(
    entries: Iterable[Mapping[str, Any]], warn: Callable[[str], None] = lambda _: None
) -> list[tuple[float, str, dict[str, Any]]]:
    """The commands that changed a run: when, which, with what arguments.

    What a timeline gave is left out: it stands in the plan.
    """
    found, refused = [], 0
    for one in entries:
        asks = one["kind"] != "command" or one.get("name") in _ONLY_ASKS
        if asks or one.get("source") == SOURCE:
            continue
        if one.get("outcome") != "ok":
            refused += 1
            continue
        found.append((float(one.get("t_s") or 0.0), str(one["name"]), dict(one["arguments"])))
    if refused:
        warn(f"commands that were refused are not given again: {refused}")
    return found


def differences(record: Mapping[str, Any]) -> list[str]:
    """What is not as it was when the run began, a line each."""
    found = []
    scenario = record["scenario"]
    path = scenario.get("path")
    if path is not None and digest(path) != scenario.get("sha256"):
        found.append(f"scenario {path} has changed since that run")
    if path is None and record.get("directory") != str(Path.cwd()):
        found.append(
            f"scenario {scenario['source']} was imported in {record.get('directory')}, and is now"
            f" in {Path.cwd()}"
        )
    for what, was, now in (
        ("amoc", record.get("amoc"), __version__),
        ("Python", record.get("python"), platform.python_version()),
    ):
        if was != now:
            found.append(f"that run was made with {what} {was}, this one is with {now}")
    return found


def _secrets_again(
    record: Mapping[str, Any],
    plan: RunPlan,
    timeline: Sequence[tuple[float, str, Mapping[str, Any]]],
    given: Mapping[str, str],
    environment: Mapping[str, str],
) -> dict[str, str]:
    """The secrets that the journal hides, from the environment.

    Raises:
        UsageError: A setting of the scenario stays unknown; all of them are named.
    """
    hidden = {name for _, values, _ in plan.sources for name in _hidden(values)}
    hidden |= {name for _, _, arguments in timeline for name in _hidden(arguments)}
    known = {name.upper(): value for name, value in environment.items()}
    found = {
        name: known[PREFIX + name.upper()] for name in hidden if PREFIX + name.upper() in known
    }
    declared = record.get("settings") or hidden
    missing = sorted(name for name in hidden & set(declared) if name not in {*found, *given})
    if missing:
        raise UsageError(
            "secrets are not in the journal and must be given again: "
            + ", ".join(f"--set {name}=… or {PREFIX}{name.upper()}" for name in missing)
        )
    return found


def _hidden(values: Mapping[str, Any]) -> Iterable[str]:
    for name, value in values.items():
        if isinstance(value, Mapping):
            yield from _hidden(value)
        elif value == HIDDEN and is_secret(name):
            yield name


def _without_hidden(values: Mapping[str, Any]) -> dict[str, Any]:
    return {
        name: _without_hidden(value) if isinstance(value, Mapping) else value
        for name, value in values.items()
        if not (value == HIDDEN and is_secret(name))
    }


def _revealed(
    command: tuple[float, str, Mapping[str, Any]], secrets: Mapping[str, Any]
) -> tuple[float, str, dict[str, Any]]:
    t_s, name, arguments = command
    values = arguments.get("values")
    if not isinstance(values, Mapping):
        return t_s, name, dict(arguments)
    again = {
        one: secrets.get(one, value) if one in _hidden(values) else value
        for one, value in values.items()
    }
    return t_s, name, {**arguments, "values": again}
