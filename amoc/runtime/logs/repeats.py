"""The repeat filter: log lines with the same content become one line with a count. Pure.

Lines are of one kind if they come from the same place of the program, with the same text apart from
numbers, and about the same cause. The first line of a kind is written at once. Those that follow
are counted, and written as one line after a second, then after two, four and so on up to a minute,
and at the end. So an error that occurs in all users takes a handful of lines, however many they
are.

Warnings and errors are counted from the second line on, other lines beyond `FREE` per second. A
kind that stays below that for a whole period starts over.

The number of kinds is bounded. Beyond `MAX_KINDS`, all other lines of a level count as one kind,
and kinds that have been quiet for `FORGET_NS` are removed when room is needed.

Threads that share a filter must call it with a lock held. No code of the scenario is called here.
"""

from __future__ import annotations

import logging
from functools import lru_cache
from typing import NamedTuple

from amoc.base.clock import S_NS
from amoc.base.text import numberless

FIRST_NS = S_NS
MAX_NS = 60 * S_NS
"""How long lines of a kind are counted before the count is written, at first and at most."""
FREE = 100
"""Lines of a kind below warnings that are written per second before further ones are counted."""
MAX_KINDS = 2_000
FORGET_NS = 2 * MAX_NS
MAX_TEMPLATE = 500
"""Most characters of a message that determine its kind."""
OTHERS = "lines of many other kinds"


class Key(NamedTuple):
    """What the lines of one kind have in common.

    Attributes:
        logger: The logger's name.
        level: As in `logging`.
        template: The message before its arguments are filled in, without numbers.
        place: The place in the program.
        cause: The cause of the error that the line is about, if any.
    """

    logger: str
    level: int
    template: str
    place: tuple[str, int]
    cause: str | None


class Kind:
    """A kind of line.

    Attributes:
        key: What its lines have in common.
        shown: Whether its lines are shown to the operator.
        message: The text of a line with a count.
    """

    __slots__ = ("_ends_ns", "_free", "_held", "_span_ns", "key", "message", "shown")

    def __init__(self, key: Key, shown: bool) -> None:
        self.key = key
        self.shown = shown
        self.message = key.template
        self._free = 0
        self._held = 0
        self._span_ns = FIRST_NS
        self._ends_ns = 0

    def take(self, now_ns: int) -> int:
        """Count one more line, and return how many lines to write as one now.

        Returns:
            1 for the line as it is, more for a line with a count that includes this one, and 0 if
            it is written later.
        """
        if now_ns >= self._ends_ns:
            if self._held:
                return self._close(now_ns) + 1
            self._free = 1 if self.key.level >= logging.WARNING else FREE
            self._span_ns, self._ends_ns = FIRST_NS, now_ns + FIRST_NS
        if self._free:
            self._free -= 1
            return 1
        self._held += 1
        return 0

    def due(self, now_ns: int, ending: bool = False) -> int:
        """Return, and reset, the number of lines held for long enough, or at all at the end."""
        return self._close(now_ns) if self._held and (ending or now_ns >= self._ends_ns) else 0

    def _close(self, now_ns: int) -> int:
        self._span_ns = min(2 * self._span_ns, MAX_NS)
        self._ends_ns = now_ns + self._span_ns
        self._free = 0  # a storm, until a period passes without a line
        held, self._held = self._held, 0
        return held

    @property
    def holds(self) -> bool:
        """Whether lines are held."""
        return self._held > 0

    def quiet(self, now_ns: int) -> bool:
        """Return whether nothing has come for `FORGET_NS`, and nothing is held."""
        return not self._held and now_ns - self._ends_ns >= FORGET_NS


class RepeatFilter:
    """All kinds of lines of a process."""

    def __init__(self) -> None:
        self._kinds: dict[Key, Kind] = {}
        self._cleared_ns = 0

    def __len__(self) -> int:
        return len(self._kinds)

    @property
    def holds(self) -> bool:
        """Whether lines are held."""
        return any(kind.holds for kind in self._kinds.values())

    def find(self, key: Key, shown: bool, now_ns: int) -> Kind:
        """Return the kind of a line; `shown` tells whether its lines are shown to the operator."""
        kind = self._kinds.get(key)
        if kind is None:
            if len(self._kinds) >= MAX_KINDS and not self._clear(now_ns):
                shown = key.level >= logging.WARNING
                key = Key("amoc.runtime.logs", key.level, OTHERS, ("", 0), None)
            kind = self._kinds.get(key) or Kind(key, shown)
            self._kinds[key] = kind
        return kind

    def _clear(self, now_ns: int) -> bool:
        """Remove quiet kinds, at most once a second; return whether there is room."""
        if now_ns - self._cleared_ns >= S_NS:
            self._cleared_ns = now_ns
            self._kinds = {key: one for key, one in self._kinds.items() if not one.quiet(now_ns)}
        return len(self._kinds) < MAX_KINDS

    def due(self, now_ns: int, ending: bool = False) -> list[tuple[Kind, int]]:
        """Return the kinds with lines held for long enough, or at all at the end, and how many."""
        kinds = self._kinds.values()
        return [(kind, held) for kind in kinds if (held := kind.due(now_ns, ending))]


def template_of(message: str) -> str:
    """Return what messages of one kind have in common: all but their numbers."""
    return _template(message[:MAX_TEMPLATE])


_template = lru_cache(maxsize=2 * MAX_KINDS)(numberless)
