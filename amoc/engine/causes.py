"""Crash accounting by cause: ten thousand users that fail the same way are one line with a count.

Two crashes have the same cause when the same kind of error with the same text, numbers aside, came
from the same line of the scenario.
"""

from __future__ import annotations

import re
import traceback
from pathlib import Path

from amoc.board import NAME_BYTES, Area, Kind

MOST_CAUSES = 200
"""Distinct causes that a worker tells apart; what comes later counts as `OTHER`."""
OTHER = "other causes"

_NUMBER = re.compile(r"\d+")


def cause_of(error: BaseException, directory: str) -> str:
    """The cause of `error`, in one line of at most `NAME_BYTES` bytes.

    Args:
        error: What start() raised.
        directory: Where the scenario's files are; the innermost line of one of them is named.
    """
    frames = traceback.extract_tb(error.__traceback__)
    own = [frame for frame in frames if directory and frame.filename.startswith(directory + "/")]
    place = (own or frames)[-1:]
    where = (
        f" ({Path(place[0].filename).name}:{place[0].lineno} in {place[0].name})" if place else ""
    )
    text = _NUMBER.sub("#", " ".join(str(error).split()))
    what = f"{type(error).__name__}: {text}" if text else type(error).__name__
    room = NAME_BYTES - len(where.encode())
    if len(what.encode()) > room:
        what = what.encode()[: room - 3].decode(errors="ignore") + "…"
    return what + where


class Causes:
    """Counts crashes by cause on the board, where they outlive the worker."""

    def __init__(self, area: Area, directory: str) -> None:
        self._area = area
        self._directory = directory
        self._cells: dict[str, memoryview] = {}

    def count(self, error: BaseException) -> str | None:
        """Count `error`; its cause when this worker sees it for the first time, else None."""
        cause = cause_of(error, self._directory)
        cells = self._cells.get(cause)
        new = cells is None
        if cells is None:
            if len(self._cells) >= MOST_CAUSES:
                cause = OTHER
            cells = self._cells.get(cause) or self._area.declare(Kind.CRASH, cause)
            self._cells[cause] = cells
        cells[0] += 1
        return cause if new else None
