"""Folding: log lines that say the same become one line with a count. Pure.

Lines are of one kind when the same place of the program says the same, numbers aside, about the
same cause. The first of a kind is written at once. Those that follow are held and counted, and
written as one line after a second, then after two, four and so on up to a minute, and at the end.
So what fails in the same way for all users costs a handful of lines, however many they are.

A failure is held from its second line on. What only informs may come some times a second before it
is, see `FREE`; a kind that kept below that for a whole period is no storm, and begins anew.

Kinds are bounded: beyond `MAX_KINDS` all others of a level count as one, and kinds that have been
quiet for `FORGET_NS` are forgotten when room is needed.
"""

from __future__ import annotations

import logging
from collections.abc import Hashable, Iterator
from functools import lru_cache
from typing import Any

from amoc.base.clock import S_NS
from amoc.base.text import numberless

FIRST_NS = S_NS
MAX_NS = 60 * S_NS
"""How long lines of a kind are held, the first time and at the most."""
FREE = ((logging.WARNING, 1), (logging.INFO, 20), (logging.NOTSET, 1_000))
"""From which level on how many lines of a kind are written, in a period, before others are held."""
MAX_KINDS = 2_000
FORGET_NS = 2 * MAX_NS
MAX_TEMPLATE = 500
"""Characters of a message that tell its kind."""


class Fold:
    """A kind of line.

    Attributes:
        level: Of its lines, as in `logging`.
        others: Whether it stands for all kinds for which there was no room.
        line: What its owner wants to keep of the first line.
        held: What its owner wants to keep of the lines that are held now.
    """

    __slots__ = (
        *("_ends_ns", "_free", "_held", "_span_ns", "_written"),
        *("held", "level", "line", "others"),
    )

    def __init__(self, level: int, others: bool) -> None:
        self.level = level
        self.others = others
        self.line: Any = None
        self.held: Any = None
        self._free = next(free for least, free in FREE if level >= least)
        self._held = self._written = 0
        self._span_ns = FIRST_NS
        self._ends_ns = 0

    def take(self, now_ns: int) -> int:
        """One more has come; how many lines are to be written as one now, with this: 0 if none."""
        if now_ns >= self._ends_ns:
            if self._held:
                return self._close(now_ns) + 1
            self._written, self._span_ns = 0, FIRST_NS
            self._ends_ns = now_ns + FIRST_NS
        if self._written < self._free:
            self._written += 1
            return 1
        self._held += 1
        return 0

    def due(self, now_ns: int) -> int:
        """How many lines were held for long enough; they count as written."""
        return self._close(now_ns) if self._held and now_ns >= self._ends_ns else 0

    def end(self) -> int:
        """How many lines are held; they count as written."""
        held, self._held = self._held, 0
        return held

    def _close(self, now_ns: int) -> int:
        self._span_ns = min(2 * self._span_ns, MAX_NS)
        self._ends_ns = now_ns + self._span_ns
        self._written = self._free  # a storm, until a period passes without any
        return self.end()

    def quiet(self, now_ns: int) -> bool:
        """Whether nothing has come for `FORGET_NS` that would be missed."""
        return not self._held and now_ns - self._ends_ns >= FORGET_NS


class Folds:
    """All kinds of lines of a process."""

    def __init__(self) -> None:
        self._folds: dict[Hashable, Fold] = {}
        self._cleared_ns = 0

    def __len__(self) -> int:
        return len(self._folds)

    def find(self, kind: Hashable, level: int, now_ns: int) -> Fold:
        """The kind of a line at `level`; `kind` is what lines that say the same have in common."""
        fold = self._folds.get(kind)
        if fold is None:
            others = len(self._folds) >= MAX_KINDS and not self._clear(now_ns)
            key = ("others", level) if others else kind
            fold = self._folds.get(key)
            if fold is None:
                fold = self._folds[key] = Fold(level, others)
        return fold

    def _clear(self, now_ns: int) -> bool:
        """Forget quiet kinds, at most once a second; whether there is room."""
        if now_ns - self._cleared_ns >= S_NS:
            self._cleared_ns = now_ns
            for kind, fold in list(self._folds.items()):
                if fold.quiet(now_ns):
                    del self._folds[kind]
        return len(self._folds) < MAX_KINDS

    def due(self, now_ns: int) -> Iterator[tuple[Fold, int]]:
        """The kinds whose lines were held for long enough, and how many they are."""
        for fold in list(self._folds.values()):
            if held := fold.due(now_ns):
                yield fold, held

    def end(self) -> Iterator[tuple[Fold, int]]:
        """The kinds of which lines are held, and how many."""
        for fold in list(self._folds.values()):
            if held := fold.end():
                yield fold, held


def template_of(message: str) -> str:
    """What messages of one kind have in common: all but their numbers."""
    return _template(message[:MAX_TEMPLATE])


_template = lru_cache(maxsize=2 * MAX_KINDS)(numberless)
