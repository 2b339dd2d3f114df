"""Crash accounting by cause: ten thousand users that fail the same way are one line with a count.

Two crashes have the same cause when the same kind of error with the same text, numbers and
addresses aside, came from the same line of the scenario. Whatever was raised can be counted: an
error that cannot say what it is, a text that is not Unicode, a board that is full.
"""

from __future__ import annotations

from amoc.base.tracebacks import cause_of
from amoc.metrics.board import MAX_CAUSES, Area, Kind
from amoc.scenario.user_kinds import NamedStart

OTHER = "other causes"
"""What all causes after the first `MAX_CAUSES` count as."""


class CrashCounter:
    """Counts crashes by cause on the board, where they outlive the worker."""

    def __init__(self, area: Area, directory: str, start: object = None) -> None:
        self._area = area
        self._directory = directory
        self._kinds = start if isinstance(start, NamedStart) else None
        self._cells: dict[str, memoryview[int]] = {}

    def named(self, user_id: int, text: str) -> str:
        """What a user raised, with the kind of user where there are several."""
        return f"{self._kinds.name_of(user_id)}: {text}" if self._kinds and user_id else text

    def count(self, error: BaseException, user_id: int = 0) -> tuple[str, bool]:
        """Count `error`; its cause, and whether this worker sees it for the first time."""
        cause = self.named(user_id, cause_of(error, self._directory))
        if cause not in self._cells and len(self._cells) >= MAX_CAUSES:
            cause = OTHER
        cells = self._cells.get(cause)
        new = cells is None
        if cells is None:
            cells = self._cells[cause] = self._area.declare(Kind.CRASH, cause)
        cells[0] += 1
        return cause, new
