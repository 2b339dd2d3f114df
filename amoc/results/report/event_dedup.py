"""Deduplicates the events of a journal: repeated ones become the first of them, with a count. Pure.

What a scenario logs comes again and again, with counts (`amoc.runtime.logs.repeats`) and from each
worker. As a row and a numbered line each it would hide the rest. Log lines are duplicates when they
differ in nothing but numbers; where these differ, the text has ``#``. Other warnings are duplicates
when they are identical. Errors of amoc's own are never merged: that a worker was lost a second time
is news.
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
"""What the operator is shown of a log line, see `amoc.runtime.logs.handler`."""
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


def deduplicated(journal: Iterable[JsonObject]) -> list[Repeated]:
    """The entries of a journal, in order of the first of each kind."""
    found = Deduplication()
    for entry in journal:
        found.add(entry)
    return found.events


class Deduplication:
    """Deduplicates the entries of a journal as they come."""

    def __init__(self) -> None:
        self._count = 0
        self._found: dict[Hashable, Repeated] = {}

    @property
    def events(self) -> list[Repeated]:
        """What was added, in order of the first of each kind."""
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
    """What an entry's duplicates share (None if it has none), its text, how many it stands for."""
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
    """What two texts that differ in numbers have in common."""
    first, second = _NUMBER.split(one), _NUMBER.split(other)
    if len(first) != len(second):
        return numberless(one)
    return "".join(a if a == b else "#" for a, b in zip(first, second, strict=True))
