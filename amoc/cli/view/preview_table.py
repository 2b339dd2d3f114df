"""The preview of a run, as text and tables."""

from __future__ import annotations

import json
from functools import partial

from rich.table import Table
from rich.text import Text

from amoc.base.clock import format_duration
from amoc.base.json_plain import JsonObject
from amoc.base.text import counted
from amoc.cli.view.console import table

Part = Text | Table
_table = partial(table, right=4)


def parts(found: JsonObject) -> list[Part]:
    """Return everything to print, in order."""
    comment = f"  {found['comment']}" if found["comment"] else ""
    head = Text.assemble(
        (f"plan of {found['scenario']}", "bold"), f"  seed {found['seed']}{comment}"
    )
    shown: list[Part] = [head, Text()]
    rows = [[one["name"], one["value"] or "(empty)", one["from"]] for one in found["settings"]]
    shown += [_table("setting", "value", "from", rows=rows), Text()]
    shown += _users(found["users"])
    if (arrivals := found["arrivals"]) is not None:
        shown.append(Text(_arrivals(arrivals)))
    else:
        shown += [Text(line) for line in _start_lines(found["starts"])]
    if found["stages"]:
        shown += [Text(), _stages(found["stages"])]
    for one in found["throttles"]:
        shown += [Text(), Text(f"throttle {one['name']}: {one['text']}")]
        if one["per_minute"]:
            shown.append(_rates(one["per_minute"]))
    if found["commands"]:
        rows = [
            [
                _time(one["t_s"]),
                one["name"],
                json.dumps(one["arguments"]) if one["arguments"] else "",
            ]
            for one in found["commands"]
        ]
        shown += [Text(), _table("at", "command", "", rows=rows)]
    shown += [Text(), *(Text(line) for line in _end_lines(found))]
    return shown


def _users(users: JsonObject) -> list[Part]:
    if not users["count"]:
        return [Text("no users")]
    line = f"{counted(users['count'], 'user')}, {users['first']} to {users['last']}"
    rows = []
    for one in users["workers"]:
        ids = "none"
        if one["count"]:
            step = f" in steps of {one['step']}" if one["step"] > 1 and one["count"] > 1 else ""
            ids = (
                f"{one['first']} to {one['last']}{step}" if one["count"] > 1 else str(one["first"])
            )
        rows.append([one["worker"], f"{one['count']:,}", ids])
    return [Text(line), _table("worker", "users", "ids", rows=rows), Text()]


def _start_lines(starts: JsonObject) -> list[str]:
    rate = starts["per_minute"]
    shown = "no limit" if rate == "inf" else f"{rate}/min".replace(".0/", "/")
    lines = [f"starts: {shown} ({starts['from']})"]
    if starts["first_s"] is not None:
        last = "" if starts["last_s"] is None else f", the last one at {_time(starts['last_s'])}"
        lines.append(f"the first user starts at {_time(starts['first_s'])}{last}")
    if starts["too_late"]:
        lines.append(f"{counted(starts['too_late'], 'user')} would start after the end, so never")
    return lines


def _arrivals(arrivals: JsonObject) -> str:
    line = f"iterations start at {arrivals['rate']}, on at most {arrivals['max_users']:,} users"
    count = arrivals["iterations"]
    return line if count is None else f"{line}: {count:,} until the end"


def _stages(stages: list[JsonObject]) -> Table:
    rows = [
        [
            str(number),
            f"{_time(one['from_s'])} to {_time(one['to_s'])}",
            f"{one['before']:,} to {one['target']:,}",
            _change(one),
        ]
        for number, one in enumerate(stages, 1)
    ]
    return _table("stage", "time", "users", "change", rows=rows)


def _change(stage: JsonObject) -> str:
    speed = f", {stage['per_s']:g}/s" if stage["per_s"] else ", at once"
    if stage["started"]:
        return f"{stage['started']:,} start{speed}"
    if stage["removed"]:
        return f"{stage['removed']:,} stop{speed}"
    return "none"


def _rates(legs: list[JsonObject]) -> Table:
    rows = [
        [
            f"{_time(one['from_s'])} to {_time(one['to_s'])}",
            f"{one['before']:g} to {one['target']:g}",
        ]
        for one in legs
    ]
    return _table("time", "rate per minute", rows=rows)


def _end_lines(found: JsonObject) -> list[str]:
    end, descriptors = found["end"], found["descriptors"]
    at = "ends when" if end["at_s"] is None else f"ends at {_time(end['at_s'])}, when"
    lines = [f"the run {at} {end['why']}; {end['then']}"]
    enough = "enough" if descriptors["enough"] else "NOT enough, the run would be refused"
    lines.append(
        f"file descriptors: {descriptors['needed_per_worker']:,} per worker"
        f" ({descriptors['per_user']} per user), limit {descriptors['limit']:,}: {enough}"
    )
    lines.append("not known before the run:")
    lines += [f"  {one}" for one in found["open"]]
    return lines


def _time(seconds: float | str) -> str:
    return format_duration(float(seconds)) if float(seconds) else "0 s"
