"""The cause of a crash, and its traceback, as text. Pure.

Two crashes have the same cause when the same kind of error with the same text, numbers and
addresses aside, came from the same line of the scenario. Any exception has a cause, also one whose
message cannot be formatted or is not Unicode.
"""

from __future__ import annotations

import traceback
from pathlib import Path

from amoc.base.text import numberless
from amoc.base.tracebacks import shortened, text_of

MAX_CAUSE_BYTES = 240
"""Of UTF-8; causes are names on the board, which have no more room."""
MAX_TRACEBACK = 20_000
"""Characters of a traceback that are kept."""


def cause_of(error: BaseException, directory: str) -> str:
    """The cause of `error`, in one line of at most `MAX_CAUSE_BYTES` bytes.

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
    where = _cut(where, MAX_CAUSE_BYTES // 2)
    text = numberless(text_of(error))
    what = f"{type(error).__name__}: {text}" if text else type(error).__name__
    return _cut(what, MAX_CAUSE_BYTES - len(where.encode())) + where


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
    """The last `MAX_TRACEBACK` characters of a traceback; an ellipsis where it has more."""
    return trace if len(trace) <= MAX_TRACEBACK else "…" + trace[-MAX_TRACEBACK:]
