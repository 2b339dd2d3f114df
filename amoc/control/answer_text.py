"""Formats a run's answer to a command as lines of text. Pure."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from math import inf

from amoc.base.clock import format_duration
from amoc.base.json_plain import Json, number_in
from amoc.base.text import counted

Record = Mapping[str, Json]


def lines_of(answer: Record) -> list[str]:
    """Return the summary, then a line for each node (of several), throttle, coordinator and so on.

    `answer` is JSON from a run that may be of another version, so nothing in it is guaranteed.
    """
    lines = [str(answer.get("summary", "done"))]
    nodes = _records(answer.get("nodes"))
    if len(nodes) > 1:
        lines += [f"  {node.get('name', '?')}: {_node(node)}" for node in nodes]
    for kind, text_of in (
        ("throttle", _throttle),
        ("coordinator", _coordinator),
        ("barrier", _barrier),
        ("feed", _feed),
    ):
        lines += [
            f"  {kind} {one.get('name', '?')}: {text_of(one)}"
            for one in _records(answer.get(f"{kind}s"))
        ]
    return lines + [
        f"  {one.get('worker', '?')}: {one.get('text', '')}"
        for one in _records(answer.get("workers"))
    ]


def _node(one: Record) -> str:
    where = ", ".join(str(one[key]) for key in ("host", "id") if one.get(key))
    workers = f"{where}, {counted(_length(one, 'workers'), 'worker')}"
    if one.get("state") == "lost":
        return f"{workers}, lost: {one.get('reason', '?')}"
    clock = ""
    if (bound_s := number_in(one, "clock_bound_s")) > 0:
        clock = f", clock within {format_duration(bound_s)}"
    if isinstance(one.get("joined_at_s"), int | float):
        clock += f", joined after {format_duration(number_in(one, 'joined_at_s'))}"
    users = counted(int(number_in(one, "users")), "user")
    return f"{workers}, {users}, {one.get('state', '?')}{clock}"


def _throttle(one: Record) -> str:
    rate, interval_s = one.get("rate"), number_in(one, "interval")
    if not isinstance(rate, int | float) or rate == inf:
        shown = "no limit"
    elif interval_s:
        shown = f"{rate / interval_s:,.6g}/s"
    else:
        shown = f"at most {rate:,.6g} at once"
    mode = one.get("mode", "run")
    parts = [shown if mode in ("run", "open") else f"{mode}, configured for {shown}"]
    if one.get("plan"):
        parts.append(str(one["plan"]))
    parts += _counts(one, executions="executions", waiting="waiting", missed="missed")
    return ", ".join(parts)


def _counts(one: Record, **texts: str) -> list[str]:
    """Return the counts that are not 0, with their texts, of which plurals end in s."""
    return [
        f"{count:,} {text.removesuffix('s') if count == 1 else text}"
        for key, text in texts.items()
        if (count := number_in(one, key))
    ]


def _coordinator(one: Record) -> str:
    waiting = one.get("pending")
    pending = sum(n for n in waiting if isinstance(n, int)) if isinstance(waiting, list) else 0
    parts = [counted(int(number_in(one, f"{what}s")), what) for what in ("add", "group")]
    parts += _counts(one, timeouts="timeouts", refused="refused", lost="lost")
    return ", ".join([*parts, f"{pending:,} pending"])


def _barrier(one: Record) -> str:
    return f"{number_in(one, 'waiting'):,} of {number_in(one, 'users'):,} users waiting"


def _feed(one: Record) -> str:
    used, rows = number_in(one, "used"), int(number_in(one, "rows"))
    if one.get("order") != "unique" or one.get("share") != "run":
        return f"{used:,} used, {counted(rows, 'row')}"
    end = ", none left" if one.get("ended") else ""
    return f"{used:,} of {rows:,} used{end}"


def _length(one: Record, name: str) -> int:
    found = one.get(name)
    return len(found) if isinstance(found, list) else 0


def _records(value: object) -> list[Record]:
    if not isinstance(value, Sequence) or isinstance(value, str):
        return []
    return [one for one in value if isinstance(one, Mapping)]
