"""``amoc plan`` for people: the scenario is loaded here, and what would happen is printed."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

from rich.table import Table
from rich.text import Text

from amoc import limits, own_settings, planning, settings
from amoc.check import Checked
from amoc.engine import process
from amoc.engine.run import RunPlan
from amoc.lines import counted
from amoc.timing import format_duration
from amoc.view.console import console as make_console


def show(plan: RunPlan, as_json: bool) -> None:
    """Load the plan's scenario and print what would happen.

    Raises:
        AmocError: What `amoc run` would refuse to start with.
    """
    console = make_console(patient=False)
    found = planning.forecast(plan, _host(plan))
    if as_json:
        console.print(Text(json.dumps(found, indent=1)), soft_wrap=True)
        return
    for part in _parts(found):
        console.print(part)


def _host(plan: RunPlan) -> planning.Host:
    checked = Checked(plan.scenario, plan.sources)
    return planning.Host(
        name=checked.scenario.name,
        settings=[
            {
                "name": one.name,
                "value": settings.as_text(one.name, checked.values[one.name]),
                "from": checked.values[one.name].source,
            }
            for one in checked.declared
        ],
        workers=own_settings.workers.get(),
        interarrival_ms=own_settings.interarrival.get(),
        user_rate=own_settings.user_rate.get(),
        repeat_num=own_settings.repeat_num.get(),
        repeat_interval_s=own_settings.repeat_interval.get() / 1000,
        fds_per_user=limits.fds_per_user(),
        fd_limit=process.raise_fd_limit(),
        has_init=hasattr(checked.scenario.module, "init"),
    )


Part = Text | Table


def _parts(found: Mapping[str, Any]) -> list[Part]:
    """All that is printed, in its order."""
    comment = f"  {found['comment']}" if found["comment"] else ""
    head = Text.assemble(
        (f"plan of {found['scenario']}", "bold"), f"  seed {found['seed']}{comment}"
    )
    parts: list[Part] = [head, Text()]
    rows = [[one["name"], one["value"] or "(empty)", one["from"]] for one in found["settings"]]
    parts += [_table(["setting", "value", "from"], rows), Text()]
    parts += _users(found["users"])
    parts += [Text(line) for line in _start_lines(found["starts"])]
    if found["stages"]:
        parts += [Text(), _stages(found["stages"])]
    for one in found["throttles"]:
        parts += [Text(), Text(f"throttle {one['name']}: {one['text']}")]
        if one["per_minute"]:
            parts.append(_rates(one["per_minute"]))
    if found["commands"]:
        rows = [
            [
                _time(one["t_s"]),
                one["name"],
                json.dumps(one["arguments"]) if one["arguments"] else "",
            ]
            for one in found["commands"]
        ]
        parts += [Text(), _table(["at", "command", ""], rows)]
    parts += [Text(), *(Text(line) for line in _end_lines(found))]
    return parts


def _users(users: Mapping[str, Any]) -> list[Part]:
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
    return [Text(line), _table(["worker", "users", "ids"], rows), Text()]


def _start_lines(starts: Mapping[str, Any]) -> list[str]:
    rate = starts["per_minute"]
    shown = "without limit" if rate == "inf" else f"{rate} a minute".replace(".0 ", " ")
    lines = [f"starts: {shown} ({starts['from']})"]
    if starts["first_s"] is not None:
        last = "" if starts["last_s"] is None else f", the last one at {_time(starts['last_s'])}"
        lines.append(f"the first user starts at {_time(starts['first_s'])}{last}")
    if starts["too_late"]:
        lines.append(f"{counted(starts['too_late'], 'user')} would start after the end, so do not")
    return lines


def _stages(stages: list[Mapping[str, Any]]) -> Table:
    rows = [
        [
            str(number),
            f"{_time(one['from_s'])} to {_time(one['to_s'])}",
            f"{one['before']:,} to {one['target']:,}",
            _change(one),
        ]
        for number, one in enumerate(stages, 1)
    ]
    return _table(["stage", "time", "users", "change"], rows)


def _change(stage: Mapping[str, Any]) -> str:
    speed = f", {stage['per_s']:g} a second" if stage["per_s"] else ", at once"
    if stage["started"]:
        return f"{stage['started']:,} start{speed}"
    if stage["removed"]:
        return f"{stage['removed']:,} are asked to leave{speed}"
    return "none"


def _rates(legs: list[Mapping[str, Any]]) -> Table:
    rows = [
        [
            f"{_time(one['from_s'])} to {_time(one['to_s'])}",
            f"{one['before']:g} to {one['target']:g}",
        ]
        for one in legs
    ]
    return _table(["time", "rate per minute"], rows)


def _end_lines(found: Mapping[str, Any]) -> list[str]:
    end, descriptors = found["end"], found["descriptors"]
    at = "ends when" if end["at_s"] is None else f"ends at {_time(end['at_s'])}, when"
    lines = [f"the run {at} {end['why']}; {end['then']}"]
    enough = "enough" if descriptors["enough"] else "NOT enough, the run will be refused"
    lines.append(
        f"file descriptors: {descriptors['needed_per_worker']:,} in each worker"
        f" ({descriptors['per_user']} for each of its users),"
        f" the limit is {descriptors['limit']:,}: {enough}"
    )
    lines.append("not known before:")
    lines += [f"  {one}" for one in found["open"]]
    return lines


def _time(seconds: float | str) -> str:
    return format_duration(float(seconds)) if float(seconds) else "0 s"


def _table(columns: list[str], rows: list[list[str]]) -> Table:
    table = Table(box=None, pad_edge=False, padding=(0, 2), header_style="dim")
    for column in columns:
        table.add_column(column, overflow="fold")
    for row in rows:
        table.add_row(*map(Text, row))
    return table
