"""Crash accounting by cause: ten thousand users that fail the same way are one line with a count.

Two crashes have the same cause when the same kind of error with the same text, numbers and
addresses aside, came from the same line of the scenario. Whatever was raised can be counted: an
error that cannot say what it is, a text that is not Unicode, a board that is full.
"""

from __future__ import annotations

import re
import traceback
from collections.abc import Callable
from pathlib import Path
from typing import Any

from amoc.board import MOST_CAUSES, NAME_BYTES, Area, Kind
from amoc.messages import Note, Record
from amoc.scenario import shortened, text_of

OTHER = "other causes"
"""What all causes after the first `MOST_CAUSES` count as."""
MOST_TRACEBACK = 20_000
"""Characters of a traceback that are passed on."""

_NUMBER = re.compile(r"0x[0-9a-fA-F]+|\d+")


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
    where = _cut(where, NAME_BYTES // 2)
    text = _NUMBER.sub("#", text_of(error))
    what = f"{type(error).__name__}: {text}" if text else type(error).__name__
    return _cut(what, NAME_BYTES - len(where.encode())) + where


def _cut(text: str, most: int) -> str:
    """`text` in at most `most` bytes of UTF-8; an ellipsis shows that something was cut."""
    encoded = text.encode(errors="backslashreplace")
    if len(encoded) <= most:
        return encoded.decode()
    return encoded[: most - len("…".encode())].decode(errors="ignore") + "…"


def trace_of(error: BaseException) -> str:
    """The traceback of `error`, its end where it is too long."""
    try:
        text = "".join(map(shortened, traceback.format_exception(error)))
    except Exception:  # its own __str__ may raise anything
        text = "".join(traceback.format_tb(error.__traceback__)) + type(error).__name__
    return end_of(text)


def end_of(trace: str) -> str:
    """The last `MOST_TRACEBACK` characters of a traceback; an ellipsis where it has more."""
    return trace if len(trace) <= MOST_TRACEBACK else "…" + trace[-MOST_TRACEBACK:]


class Causes:
    """Counts crashes by cause on the board, where they outlive the worker."""

    def __init__(self, area: Area, directory: str) -> None:
        self._area = area
        self._directory = directory
        self._cells: dict[str, memoryview[Any]] = {}

    def count(self, error: BaseException) -> tuple[str, bool]:
        """Count `error`; its cause, and whether this worker sees it for the first time."""
        cause = cause_of(error, self._directory)
        if cause not in self._cells and len(self._cells) >= MOST_CAUSES:
            cause = OTHER
        cells = self._cells.get(cause)
        new = cells is None
        if cells is None:
            cells = self._cells[cause] = self._area.declare(Kind.CRASH, cause)
        cells[0] += 1
        return cause, new


class Mishaps:
    """Tells what code of a scenario raised that is not a user's: once for each cause.

    They are no crashes of users; whoever calls counts them.
    """

    def __init__(self, directory: str, report: Callable[[Record], None]) -> None:
        """Report what happens in the scenario whose files are in `directory`."""
        self._directory = directory
        self._report = report
        self._told: set[str] = set()

    def tell(self, what: str, error: BaseException) -> None:
        """`what` raised `error`."""
        cause = f"{what} raised {cause_of(error, self._directory)}"
        if cause not in self._told and len(self._told) < MOST_CAUSES:
            self._told.add(cause)
            self._report(Note("error", f"{cause} (told once)"))
            self._report(Note("trace", trace_of(error)))
