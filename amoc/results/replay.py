"""Replay: the plan of a run in its journal, and the plan that repeats it.

The journal's ``run`` record contains the whole plan (ids, seed, stages, rates, durations, raw
settings from every source), a digest of the scenario's file, and the number of workers. A replay
has the same plan, plus the commands given during the run at their times.

Secrets are not in the journal: a setting that contains one, at any depth, must be given again as a
whole. Other differences that the journal shows are reported; for the rest, such as the speed of a
server's responses, see docs/control.md.
"""

from __future__ import annotations

import hashlib
import platform
from collections import Counter
from collections.abc import Callable, Iterable, Mapping
from dataclasses import replace
from pathlib import Path

from amoc._version import VERSION
from amoc.base.errors import UsageError
from amoc.base.json_plain import JsonObject, object_in, plain_object
from amoc.base.line_check import LineCheck
from amoc.base.redaction import HIDDEN, holds_hidden, is_secret
from amoc.base.versions import versions
from amoc.control.commands import is_read
from amoc.ipc.messages.lifecycle import Loaded, SettingInfo
from amoc.results.journal import read
from amoc.results.run_directory import RunDirectory
from amoc.scenario import scenario_files
from amoc.scenario.run_plan import RunPlan
from amoc.scenario.scenario_files import is_path, parts_of
from amoc.scenario.settings import Source
from amoc.scenario.settings_sources import PREFIX

SOURCE = "replay"
"""The `source` of commands from a timeline."""
SCENARIO = "scenario"
"""The `source` of a scenario's own commands, which it issues again in a replay."""

_NOT_IN_PLAN = ("scenario", "run_directory")
"""The record holds the scenario with its path, and a replay has its own directory."""

_Command = tuple[float, str, JsonObject]


def record_of(plan: RunPlan, loaded: Loaded | None, run_id: str) -> JsonObject:
    """Return the fields of a journal's ``run`` record as JSON, enough to repeat the run.

    Args:
        plan: The run's plan.
        loaded: What is known of its scenario; None if it was not loaded.
        run_id: The run's id.
    """
    path = str(Path(plan.scenario).resolve()) if is_path(plan.scenario) else None
    if parts_of(plan.scenario):
        path = scenario_files.absolute(plan.scenario)
    record = {
        "id": run_id,
        "amoc": VERSION,
        "python": platform.python_version(),
        "directory": str(Path.cwd()),
        "scenario": {
            "source": plan.scenario,
            "path": path,
            "sha256": digest(path) if path is not None else None,
            "name": loaded.name if loaded is not None else "",
        },
        "workers": loaded.workers if loaded is not None else None,
        # Values here are texts for people, with their sources.
        "settings": [_setting(*one) for one in loaded.settings] if loaded is not None else [],
        "thresholds": list(loaded.thresholds) if loaded is not None else [],
        "versions": versions(),
        "plan": {name: value for name, value in plan.to_json().items() if name not in _NOT_IN_PLAN},
    }
    return plain_object(record)


def _setting(name: str, value: str, *more: str) -> dict[str, str]:
    """Return a setting as files may contain it: not even the default of a secret."""
    value = HIDDEN if is_secret(name) else value
    return dict(zip(SettingInfo._fields, (name, value, *more), strict=True))


def plan_of(record: JsonObject) -> RunPlan:
    """Return the plan in a record of `record_of`; its secrets read ``(hidden)``.

    Raises:
        UsageError: The record is invalid.
    """
    try:
        scenario = record["scenario"]
        return RunPlan.from_json(
            {**record["plan"], "scenario": scenario["path"] or scenario["source"]}
        )
    except (KeyError, TypeError, ValueError) as error:
        text = f"{type(error).__name__}: {error}"
        raise UsageError(f"the journal's run record is invalid: {text}") from None


def digest(path: str) -> str | None:
    """Return the SHA-256 of a scenario's file or files; None if one cannot be read."""
    files = [one.source for one in parts_of(path)] or [path]
    try:
        return hashlib.sha256(b"".join(Path(one).read_bytes() for one in files)).hexdigest()
    except OSError:
        return None


def prepare(
    directory: RunDirectory,
    given: Mapping[str, object],
    environment: Mapping[str, str],
    warn: Callable[[str], None],
) -> RunPlan:
    """Return the plan that repeats a run, with its commands.

    Args:
        directory: The directory of the run to repeat.
        given: Settings from the command line; they override all others.
        environment: Source of secrets, as ``AMOC_NAME``.
        warn: Called with each difference that may matter, in one line.

    Raises:
        AmocError: There is no journal or no plan in it, or a secret is missing.
    """
    check = LineCheck()
    entries = read(directory.journal, check)
    for problem in check.problems():
        warn(f"{directory.journal}: {problem}; the replay uses the other lines")
    record = next((one for one in entries if one["kind"] == "run"), None)
    if record is None:
        raise UsageError(f"{directory.journal} has no run record, so no plan to repeat")
    plan = plan_of(record)
    for line in differences(record):
        warn(line)
    timeline = [*plan.timeline, *commands_of(entries, warn)]
    timeline.sort(key=lambda one: one[0])
    at_start, later = _hidden_at_start(record, plan), _hidden_later(timeline)
    again = _given_again(record, at_start | set(later), given, environment)
    for name in sorted(later):
        if later[name] > 1 or name in at_start:
            warn(f"secret {name} was changed during that run, but keeps one value in this one")
    if cut_short := _cut_short(entries):
        warn(cut_short)
    pinned = {"workers": record["workers"]} if record.get("workers") else {}
    strict = any(one.strict for one in plan.sources)  # not with --allow-undeclared
    sources = (
        Source("--set", dict(given), strict),
        Source(PREFIX + "{name}", {name: again[name] for name in at_start if name in again}, False),
        *(one._replace(values=_without_hidden(record, one.values)) for one in plan.sources),
        Source("the replayed run", pinned, False),
    )
    revealed = tuple(_revealed(one, {**again, **given}) for one in timeline)
    return replace(plan, sources=sources, timeline=revealed)


def commands_of(
    entries: Iterable[JsonObject], warn: Callable[[str], None] = lambda _: None
) -> list[_Command]:
    """Return the commands that changed a run, with their times and arguments.

    Commands of its timeline are already in the plan; commands that failed are left out.
    """
    found: list[_Command] = []
    undone: Counter[str] = Counter()
    for one in entries:
        if one["kind"] != "command" or is_read(one.get("name")):
            continue
        if one.get("source") in (SOURCE, SCENARIO):
            continue
        if one.get("outcome") != "ok":
            undone[str(one.get("outcome"))] += 1
            continue
        found.append((float(one.get("t_s") or 0.0), str(one["name"]), dict(one["arguments"])))
    for outcome, number in sorted(undone.items()):
        warn(f"commands that were {outcome} are not repeated: {number}")
    return found


def differences(record: JsonObject) -> list[str]:
    """Return what has changed since the run, one line each."""
    found = []
    scenario = record["scenario"]
    path = scenario.get("path")
    if path is not None and digest(path) != scenario.get("sha256"):
        found.append(f"scenario {path} has changed since that run")
    if path is None and record.get("directory") != str(Path.cwd()):
        found.append(
            f"scenario {scenario['source']} was imported in {record.get('directory')}, and now in"
            f" {Path.cwd()}"
        )
    for what, was, now in (
        ("amoc", record.get("amoc"), VERSION),
        ("Python", record.get("python"), platform.python_version()),
    ):
        if was != now:
            found.append(f"that run used {what} {was}, this one uses {now}")
    return found


def _cut_short(entries: Iterable[JsonObject]) -> str:
    """Return how that run ended early; empty if its plan or a command ended it."""
    end = next((one for one in entries if one["kind"] == "end"), None)
    if end is None:
        how = "was killed or is still running"
    elif end.get("verdict") in ("failed", "interrupted"):
        how = "failed" if end["verdict"] == "failed" else "was interrupted"
    else:
        return ""
    return f"that run {how}; this one ends by its plan and its commands"


def _hidden_at_start(record: JsonObject, plan: RunPlan) -> set[str]:
    """Return the settings whose initial value is unknown because part of it is hidden."""
    found: set[str] = set()
    decided: set[str] = set()
    for _, values, _ in plan.sources:  # strongest first, and a table before the values outside it
        tables = _tables(record, values)
        own = tables.get(_name(record), {})
        rest = {name: value for name, value in values.items() if name not in tables}
        for name, value in [*own.items(), *rest.items()]:
            if name not in decided and holds_hidden(value):
                found.add(name)
            decided.add(name)
    return found


def _hidden_later(timeline: Iterable[_Command]) -> Counter[str]:
    """Return the settings that commands changed to a value with a hidden part, and how often."""
    return Counter(
        name
        for _, _, arguments in timeline
        for name, value in object_in(arguments, "values").items()
        if holds_hidden(value)
    )


def _tables(record: JsonObject, values: JsonObject) -> dict[str, JsonObject]:
    """Return the values that are not settings but a scenario's table in the config file."""
    declared = _declared(record)
    return {
        name: value
        for name, value in values.items()
        if isinstance(value, Mapping) and name not in declared
    }


def _declared(record: JsonObject) -> set[str]:
    """Return the names of the declared settings."""
    return {one["name"] for one in record.get("settings") or ()}


def _name(record: JsonObject) -> str:
    """Return the name of the scenario that was run."""
    return scenario_files.name_of(str(record["scenario"]["source"]))


def _given_again(
    record: JsonObject,
    hidden: set[str],
    given: Mapping[str, object],
    environment: Mapping[str, str],
) -> dict[str, str]:
    """Return the values of hidden settings, from the environment.

    Raises:
        UsageError: The value of a declared setting stays unknown; the message names all such.
    """
    known = {name.upper(): value for name, value in environment.items()}
    found = {
        name: known[PREFIX + name.upper()] for name in hidden if PREFIX + name.upper() in known
    }
    missing = sorted(
        name for name in hidden & (_declared(record) or hidden) if name not in {*found, *given}
    )
    if missing:
        raise UsageError(
            "secrets are not in the journal and must be given again: "
            + ", ".join(
                f"{PREFIX}{name.upper()} or --set-from-file {name}=FILE" for name in missing
            )
        )
    return found


def _without_hidden(record: JsonObject, values: JsonObject) -> JsonObject:
    """Return `values` without settings that have a hidden part."""
    tables = _tables(record, values)
    return {
        name: {key: one for key, one in value.items() if not holds_hidden(one)}
        if name in tables
        else value
        for name, value in values.items()
        if name in tables or not holds_hidden(value)
    }


def _revealed(command: _Command, secrets: JsonObject) -> _Command:
    """Return `command` with its hidden values filled in."""
    t_s, name, arguments = command
    values = object_in(arguments, "values")
    if not any(map(holds_hidden, values.values())):
        return t_s, name, dict(arguments)
    again = {
        one: secrets.get(one, value) if holds_hidden(value) else value
        for one, value in values.items()
    }
    return t_s, name, {**arguments, "values": again}
