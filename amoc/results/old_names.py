"""What run directories of earlier versions call what has another name today. Pure.

Files of a run are read for years, so what was written once must go on being read. This is the only
place that knows the old names: all that is read back from a run's directory comes through here.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, cast

from amoc.base.json_plain import JsonObject
from amoc.results.summary_types import Summary

_TODAY = {
    "slot": "worker",
    "epoch": "incarnation",
    "queued_s": "cpu_wait_s",
    "expectations": "thresholds",
}
_VERDICTS = {"failed expectations": "failed thresholds"}


def renamed(record: JsonObject) -> dict[str, Any]:
    """A record, with its fields called as they are today."""
    return {_TODAY.get(name, name): value for name, value in record.items()}


def summary(found: JsonObject) -> Summary:
    """A summary."""
    named = renamed(found)
    run = named["run"]
    named["run"] = {**run, "verdict": _VERDICTS.get(run["verdict"], run["verdict"])}
    if workers := named.get("workers"):
        named["workers"] = [renamed(one) for one in workers]
    return cast("Summary", named)  # what it holds, its file says


def journal_entry(found: JsonObject) -> dict[str, Any]:
    """An entry of a journal."""
    entry = renamed(found)
    if isinstance(plan := entry.get("plan"), Mapping):
        entry["plan"] = renamed(plan)
    if isinstance(settings := entry.get("settings"), Mapping):
        entry["settings"] = [_setting(name, one) for name, one in settings.items()]
    if isinstance(verdict := entry.get("verdict"), str):
        entry["verdict"] = _VERDICTS.get(verdict, verdict)
    return entry


def _setting(name: str, found: object) -> JsonObject:
    """A setting, of which a secret one was written as a bare ``(hidden)``."""
    known = found if isinstance(found, Mapping) else {"value": found}
    rest = {field: known.get(field, "") for field in ("description", "module")}
    return {"name": name, "value": known.get("value"), "source": known.get("from", ""), **rest}
