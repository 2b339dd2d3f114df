"""Names used in run directories by earlier versions, translated to the current ones. Pure.

The files of a run are read for years, so files once written must stay readable. Only this module
knows the old names: everything read back from a run directory passes through here.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TypeVar, cast

from amoc.base.json_plain import Json, JsonObject
from amoc.results.summary_types import Summary

T = TypeVar("T")

_TODAY = {
    "slot": "worker",
    "epoch": "incarnation",
    "queued_s": "cpu_wait_s",
    "expectations": "thresholds",
}
_VERDICTS = {"failed expectations": "failed thresholds"}


def renamed(record: Mapping[str, T]) -> dict[str, T]:
    """Return a record with current field names."""
    return {_TODAY.get(name, name): value for name, value in record.items()}


def summary(found: JsonObject) -> Summary:
    """Return a summary with current names."""
    named = renamed(found)
    run = named["run"]
    named["run"] = {**run, "verdict": _VERDICTS.get(run["verdict"], run["verdict"])}
    if isinstance(workers := named.get("workers"), list):
        named["workers"] = [renamed(one) for one in workers if isinstance(one, Mapping)]
    return cast("Summary", named)  # its contents depend on the file


def journal_entry(found: Mapping[str, Json]) -> dict[str, Json]:
    """Return a journal entry with current names."""
    entry = renamed(found)
    if isinstance(plan := entry.get("plan"), Mapping):
        entry["plan"] = renamed(plan)
    if isinstance(settings := entry.get("settings"), Mapping):
        entry["settings"] = [_setting(name, one) for name, one in settings.items()]
    if isinstance(verdict := entry.get("verdict"), str):
        entry["verdict"] = _VERDICTS.get(verdict, verdict)
    return entry


def _setting(name: str, found: Json) -> Json:
    """Return a setting. Earlier versions wrote a secret one as a bare ``(hidden)``."""
    known = found if isinstance(found, Mapping) else {"value": found}
    rest = {field: known.get(field, "") for field in ("description", "module")}
    return {"name": name, "value": known.get("value"), "source": known.get("from", ""), **rest}
