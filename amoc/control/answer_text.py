"""Formats a run's answer to a command as lines of text. Pure."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from math import inf

from amoc.base.clock import format_duration
from amoc.base.json_plain import JsonObject
from amoc.base.text import counted


def lines_of(answer: JsonObject) -> list[str]:
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


def _node(one: JsonObject) -> str:
    where = ", ".join(str(one[key]) for key in ("host", "id") if one.get(key))
    workers = f"{where}, {counted(len(one.get('workers', ())), 'worker')}"
    if one.get("state") == "lost":
        return f"{workers}, lost: {one.get('reason', '?')}"
    bound_s = one.get("clock_bound_s")
    clock = ""
    if isinstance(bound_s, int | float) and bound_s > 0:
        clock = f", clock within {format_duration(bound_s)}"
    joined_s = one.get("joined_at_s")
    if isinstance(joined_s, int | float):
        clock += f", joined after {format_duration(joined_s)}"
    return f"{workers}, {counted(one.get('users', 0), 'user')}, {one.get('state', '?')}{clock}"


def _throttle(one: JsonObject) -> str:
    rate, interval_s = one.get("rate"), one.get("interval", 0.0)
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
    parts += _counts(one, executions="executions", waiting="waiting", missed="slots missed")
    return ", ".join(parts)


def _counts(one: JsonObject, **texts: str) -> list[str]:
    """Return the counts that are not 0, with their texts."""
    return [f"{one[key]:,} {text}" for key, text in texts.items() if one.get(key)]


def _coordinator(one: JsonObject) -> str:
    pending = sum(one.get("pending", ()))
    parts = [f"{one.get('adds', 0):,} adds", f"{one.get('groups', 0):,} groups"]
    parts += _counts(one, timeouts="timeouts", refused="refused", lost="lost")
    return ", ".join([*parts, f"{pending:,} pending"])


def _barrier(one: JsonObject) -> str:
    return f"{one.get('waiting', 0):,} of {one.get('users', 0):,} users waiting"


def _feed(one: JsonObject) -> str:
    used, rows = one.get("used", 0), one.get("rows", 0)
    if one.get("order") != "unique" or one.get("share") != "run":
        return f"{used:,} used, {counted(rows, 'row')}"
    end = ", none left" if one.get("ended") else ""
    return f"{used:,} of {rows:,} used{end}"


def _records(value: object) -> list[JsonObject]:
    if not isinstance(value, Sequence) or isinstance(value, str):
        return []
    return [one for one in value if isinstance(one, Mapping)]
