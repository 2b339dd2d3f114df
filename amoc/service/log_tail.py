"""The newest lines of a run's logs, of all its processes."""

from __future__ import annotations

from pathlib import Path

from amoc.base import json_lines
from amoc.base.json_plain import JsonObject

TAIL_BYTES = 256 << 10
"""How much of the end of each log is read."""
MAX_LOGS = 600


def newest(logs: Path, lines: int) -> list[JsonObject]:
    """The newest `lines` of the logs in a directory, in the order of their times.

    Each has, beside what the process wrote, `process`: the name of its log.
    """
    found: list[dict[str, object]] = []
    for path in sorted(logs.glob("*.jsonl"))[:MAX_LOGS]:
        for line in _tail(path).splitlines()[-lines:]:
            entry = json_lines.parse(line)
            if entry is not None:
                found.append({"process": path.stem, **entry})
    found.sort(key=lambda entry: str(entry.get("at", "")))
    return list(found[-lines:])


def _tail(path: Path) -> bytes:
    try:
        with path.open("rb") as file:
            size = file.seek(0, 2)
            begin = file.seek(max(0, size - TAIL_BYTES))
            data = file.read(TAIL_BYTES)
    except OSError:
        return b""
    return data.partition(b"\n")[2] if begin else data
