"""The journal: what a run was asked to do and what it did, a JSON object in each line.

Lines are only ever appended, each with one write to the file, so whoever kills the run loses at
most the line that was being written. Each has `at` (UTC), `t_s` (seconds since the first user
could start; null before) and a `kind`:

- ``run``: the whole plan, enough to run it again;
- ``state``: a state that the run has come to;
- ``command``: a command with its source, comment, outcome and the workers' answers;
- ``event``: what was told to the operator;
- ``end``: how it ended.

Values of secret settings are never written. A disk that is full costs lines, not the run: it is
said once, and how many were lost is written when there is room again.
"""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Mapping
from datetime import UTC, datetime, timedelta
from math import isfinite
from pathlib import Path
from typing import Any

from amoc.errors import ResourceError
from amoc.secrecy import hide
from amoc.timing import S_NS, US_NS, now_ns

_OF_SETTINGS = ("values", "settings", "sources")
"""Fields below which names are names of settings."""
_MOST_HEAD_BYTES = 1 << 20


class Journal:
    """Writes the journal of one run.

    Attributes:
        lost: Lines that could not be written since one could be.
    """

    def __init__(self, path: Path, on_trouble: Callable[[str], None] = lambda _: None) -> None:
        """Begin the journal in a new file at `path`.

        Args:
            path: Where it is to be.
            on_trouble: Told once, in a line, when a line cannot be written.

        Raises:
            ResourceError: The file cannot be made.
        """
        self.lost = 0
        self._path = path
        self._on_trouble = on_trouble
        self._told = False
        self._torn = False
        self._begun_ns: int | None = None
        try:
            self._fd = os.open(path, os.O_WRONLY | os.O_APPEND | os.O_CREAT | os.O_CLOEXEC, 0o600)
        except OSError as error:
            raise ResourceError(f"journal {path} cannot be made: {error.strerror}") from None

    def begin(self, begun_ns: int) -> None:
        """Count `t_s` from `begun_ns` on the monotonic clock: the first user may start."""
        self._begun_ns = begun_ns

    def write(self, kind: str, *, when_ns: int | None = None, **fields: Any) -> None:
        """Append a line.

        Args:
            kind: As in the module's text.
            fields: What there is to say, of types that JSON knows; others become text.
            when_ns: When it happened, on the monotonic clock; None means now.
        """
        now = now_ns()
        when_ns = now if when_ns is None else when_ns
        at = datetime.now(UTC) - timedelta(microseconds=(now - when_ns) / US_NS)
        begun_ns = self._begun_ns
        entry = {
            "at": at.isoformat(timespec="milliseconds").replace("+00:00", "Z"),
            "t_s": None if begun_ns is None else round((when_ns - begun_ns) / S_NS, 6),
            "kind": kind,
            **fields,
        }
        if self.lost:
            lost = {**entry, "kind": "event", "level": "warning"}
            lost = {key: lost[key] for key in ("at", "t_s", "kind", "level")}
            text = f"{self.lost} lines could not be written here"
            if not self._append({**lost, "text": text}):
                self.lost += 1
                return
            self.lost = 0
        if not self._append(entry):
            self.lost += 1

    def close(self) -> None:
        """Write no more."""
        if self._fd >= 0:
            os.close(self._fd)
            self._fd = -1

    def _append(self, entry: Mapping[str, Any]) -> bool:
        if self._fd < 0:
            return False
        line = json.dumps(plain(entry), allow_nan=False).encode() + b"\n"
        data = b"\n" + line if self._torn else line
        try:
            written = os.write(self._fd, data)
        except OSError as error:
            self._tell(error.strerror or str(error))
            return False
        if written < len(data):
            self._torn = True
            self._tell("there is no room for the whole line")
            return False
        self._torn = False
        return True

    def _tell(self, why: str) -> None:
        if not self._told:
            self._told = True
            self._on_trouble(
                f"journal {self._path} cannot be written: {why}; the run goes on without it"
            )


def plain(value: Any) -> Any:
    """`value` as JSON knows it, without secrets; what JSON has no type for becomes text."""
    if isinstance(value, Mapping):
        return {
            str(name): plain(hide(one) if name in _OF_SETTINGS else one)
            for name, one in value.items()
        }
    if isinstance(value, list | tuple | set | frozenset):
        return [plain(one) for one in value]
    if isinstance(value, float) and not isfinite(value):
        return str(value)
    if value is None or isinstance(value, str | int | float):
        return value
    return str(value)


def read(path: Path, on_torn: Callable[[int], None] = lambda _: None) -> list[dict[str, Any]]:
    """The entries of a journal, as far as they were written.

    Args:
        path: Where it is.
        on_torn: Told the number, from 1, of each line that is none; the last line of a run that was
            killed while it wrote is no news, and not told.

    Raises:
        ResourceError: It cannot be read.
    """
    try:
        lines = path.read_bytes().split(b"\n")
    except OSError as error:
        raise ResourceError(f"journal {path} cannot be read: {error.strerror}") from None
    entries = []
    for number, line in enumerate(lines, 1):
        if not line.strip():
            continue
        entry = _entry(line)
        if entry is not None:
            entries.append(entry)
        elif number < len(lines):
            on_torn(number)
    return entries


def run_id(path: Path) -> str | None:
    """The id of the run that wrote the journal, from its first lines; None when it has none."""
    try:
        with path.open("rb") as file:
            head = file.read(_MOST_HEAD_BYTES).split(b"\n")
    except OSError:
        return None
    for line in head[:10]:
        entry = _entry(line)
        if entry is not None and entry["kind"] == "run":
            found = entry.get("id")
            return found if isinstance(found, str) else None
    return None


def _entry(line: bytes) -> dict[str, Any] | None:
    try:
        entry = json.loads(line)
    except (ValueError, RecursionError):
        return None
    return entry if isinstance(entry, dict) and isinstance(entry.get("kind"), str) else None
