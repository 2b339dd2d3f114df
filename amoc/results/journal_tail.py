"""Reads a journal while it is being written: each entry once, as soon as its line is complete."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from amoc.base import json_lines
from amoc.base.line_check import CRC, LINE
from amoc.results import old_names

MAX_BYTES = 8 << 20
"""Read in one call; the rest is left to the next one."""


class JournalTail:
    """Reads the entries of one journal."""

    def __init__(self, path: Path) -> None:
        """Read from the beginning of `path`, which need not exist yet."""
        self._path = path
        self._at = 0

    def new(self) -> list[dict[str, Any]]:
        """Return the entries not read before; damaged lines are left out."""
        try:
            with self._path.open("rb") as file:
                file.seek(self._at)
                data = file.read(MAX_BYTES)
        except OSError:
            return []
        whole = data[: data.rfind(b"\n") + 1]
        self._at += len(whole) or (len(data) if len(data) == MAX_BYTES else 0)
        found = []
        for line in whole.split(b"\n"):
            entry = json_lines.parse(line)
            if entry is not None and "kind" in entry:
                plain = {name: value for name, value in entry.items() if name not in (LINE, CRC)}
                found.append(old_names.journal_entry(plain))
        return found
