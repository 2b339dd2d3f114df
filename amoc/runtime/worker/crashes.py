"""Crash accounting by cause: ten thousand equal failures give one line with a count.

Two crashes have the same cause if the same kind of error, with the same text apart from numbers and
addresses, came from the same line of the scenario. Any exception can be counted: also if it cannot
be converted to text, if the text is not valid Unicode, or if the board is full.
"""

from __future__ import annotations

import logging
from collections.abc import Callable

from amoc.base.tracebacks import cause_of, headline_of, trace_of
from amoc.ipc.messages.users import CrashSeen
from amoc.metrics.area import MAX_CAUSES, Area, Kind
from amoc.scenario.events import USER_CRASHED
from amoc.scenario.user_kinds import NamedStart

_log = logging.getLogger(__name__)

OTHER = "other causes"
"""The common cause of all crashes after the first `MAX_CAUSES` causes."""


class CrashCounter:
    """Counts crashes by cause on the board, where they outlive the worker; reports the first."""

    def __init__(
        self,
        area: Area,
        directory: str,
        start: object = None,
        worker: int = 0,
        send: Callable[[CrashSeen], object] = lambda _: None,
    ) -> None:
        """Count the crashes of `worker`.

        Args:
            area: The worker's area of the board.
            directory: Directory of the scenario's files.
            start: The scenario's start().
            worker: The worker's number.
            send: Sends a report; can be called from anywhere, and does not block.
        """
        self._area = area
        self._directory = directory
        self._worker = worker
        self._send = send
        self._kinds = start if isinstance(start, NamedStart) else None
        self._cells: dict[str, memoryview[int]] = {}

    def _named(self, user_id: int, text: str) -> str:
        """Return the text with the kind of user before it, if there are several kinds."""
        return f"{self._kinds.name_of(user_id)}: {text}" if self._kinds and user_id else text

    def count(self, error: BaseException, user_id: int = 0) -> tuple[str, bool]:
        """Count `error`; return its cause, and whether that is new to this worker."""
        cause = self._named(user_id, cause_of(error, self._directory))
        if cause not in self._cells and len(self._cells) >= MAX_CAUSES:
            cause = OTHER
        cells = self._cells.get(cause)
        new = cells is None
        if cells is None:
            cells = self._cells[cause] = self._area.declare(Kind.CRASH, cause)
        cells[0] += 1
        return cause, new

    def report(self, error: BaseException, user_id: int = 0) -> None:
        """Count an exception of a user, or on its behalf (0); report the first of its cause."""
        cause, is_new = self.count(error, user_id)
        whose = {"cause": cause, "user": user_id or None}
        _log.error("a user crashed: %s", cause, exc_info=error, extra=whose)
        if USER_CRASHED.subscribers:
            USER_CRASHED(user_id or None, cause=cause, exception=error)
        if is_new:
            headline = self._named(user_id, headline_of(error, self._directory))
            self._send(CrashSeen(self._worker, cause, trace_of(error), user_id, headline))
