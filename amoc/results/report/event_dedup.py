"""Deduplicates the events of a journal: repeated ones become a single one with a count. Pure.

A scenario's log messages come repeatedly, with counts (`amoc.runtime.logs.repeats`) and from each
worker. With a row and a numbered line for each they would hide everything else. Log lines are
duplicates if they differ only in numbers; where these differ, the text has ``#``. Other warnings
are duplicates if they are identical. amoc's own errors are never merged: the second loss of a
worker is news.
"""

from __future__ import annotations

import re
from collections.abc import Hashable, Iterable
from dataclasses import dataclass, replace

from amoc.base.json_plain import JsonObject
from amoc.base.text import numberless

_LOGGED = re.compile(
    r"(?P<said>.*) (?P<logger>\([^\W\d][^\s(),]*)(?:, user \d+)?(?:, (?P<more>[\d,]+) more)?\)",
    re.DOTALL,
)
"""The form in which the operator is shown a log line, see `amoc.runtime.logs.handler`."""
_MORE_WARNINGS = re.compile(r"(?P<more>[\d,]+) more warnings?: (?P<said>.*)", re.DOTALL)
"""Shown for further warnings in a second, see `amoc.runtime.logs.operator_feed`."""
_NUMBER = re.compile(r"(0x[0-9a-fA-F]+|\d+|#)")


@dataclass(frozen=True)
class Repeated:
    """An event and its duplicates.

    Attributes:
        entry: The first of them; its text is what they have in common.
        count: How often it occurred.
        last_s: When it occurred last; None before the first user could start.
    """

    entry: JsonObject
    count: int
    last_s: float | None


class Deduplication:
    """Deduplicates the entries of a journal as they arrive."""

    def __init__(self, journal: Iterable[JsonObject] = ()) -> None:
        """Begin with these entries; more can be added."""
        self._count = 0
        self._found: dict[Hashable, Repeated] = {}
        for entry in journal:
            self.add(entry)

    @property
    def events(self) -> list[Repeated]:
        """The entries added so far, in order of the first of each kind."""
        return list(self._found.values())

    def add(self, entry: JsonObject) -> None:
        """Add the next entry."""
        self._count += 1
        kind, text, count = _read(entry)
        key, last_s = (self._count if kind is None else kind), entry.get("t_s")
        if (before := self._found.get(key)) is None:
            self._found[key] = Repeated({**entry, "text": text}, count, last_s)
        else:
            alike = {**before.entry, "text": _alike(before.entry["text"], text)}
            self._found[key] = replace(
                before, entry=alike, count=before.count + count, last_s=last_s
            )


def _read(entry: JsonObject) -> tuple[Hashable, str, int]:
    """Return what an entry's duplicates share (None if it has none), its text, and its count."""
    text, level = str(entry.get("text", "")), entry.get("level")
    if entry.get("kind") != "event" or level not in ("warning", "error"):
        return None, text, 1
    if line := _LOGGED.fullmatch(text):
        said = f"{line['said']} {line['logger']})"
        return (level, numberless(said)), said, _count(line["more"])
    if line := _MORE_WARNINGS.fullmatch(text):
        return (level, "untold"), f"more warnings: {line['said']}", _count(line["more"])
    return ((level, text) if level == "warning" else None), text, 1


def _count(more: str | None) -> int:
    return int(more.replace(",", "")) if more else 1


def _alike(one: str, other: str) -> str:
    """Return the common part of two texts that differ in numbers."""
    first, second = _NUMBER.split(one), _NUMBER.split(other)
    if len(first) != len(second):
        return numberless(one)
    return "".join(a if a == b else "#" for a, b in zip(first, second, strict=True))
