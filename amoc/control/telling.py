"""What a run answers to a command, in lines for people. Pure."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any


def lines_of(answer: Mapping[str, Any]) -> list[str]:
    """The summary, then a line for each throttle and each worker."""
    lines = [str(answer.get("summary", "done"))]
    lines += [
        f"  throttle {one.get('name', '?')}: {_fields(one, 'name')}"
        for one in _records(answer.get("throttles"))
    ]
    for worker in _records(answer.get("workers")):
        text = worker["text"] if "text" in worker else _fields(worker, "worker")
        lines.append(f"  {worker.get('worker', '?')}: {text}")
    return lines


def _records(value: object) -> list[Mapping[str, Any]]:
    if not isinstance(value, Sequence) or isinstance(value, str):
        return []
    return [one for one in value if isinstance(one, Mapping)]


def _fields(record: Mapping[str, Any], *but: str) -> str:
    parts = []
    for name, value in record.items():
        if name in but or value is None or value == "":
            continue
        shown = f"{value:g}" if isinstance(value, float) else str(value)
        parts.append(f"{name.replace('_', ' ')} {shown}")
    return ", ".join(parts)
