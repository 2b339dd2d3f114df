"""Exceptions as text: message, origin, cause of a crash, traceback. Pure.

Two crashes have the same cause when the same kind of error with the same text, numbers and
addresses aside, came from the same line of the scenario. Any exception has a cause, also one whose
message cannot be formatted or is not Unicode.
"""

from __future__ import annotations

import traceback
from pathlib import Path
from typing import NoReturn, TypeVar

from amoc.base.text import numberless_but_addresses

E = TypeVar("E", bound=BaseException)

MAX_TEXT = 2_000
"""Characters of an error's message that are used: it may contain all that a server has sent."""
MAX_CAUSE_BYTES = 240
"""Of UTF-8; causes are names on the board, which have no more room."""
MAX_HEADLINE_BYTES = 500
"""Of UTF-8: what fits into a few lines of a terminal."""
MAX_TRACEBACK = 20_000
"""Characters of a traceback that are kept."""


def describe(error: BaseException, directory: str = "") -> str:
    """`error` with its origin in one line: ``ValueError: no (chat.py:12 in init)``.

    Args:
        error: What was raised.
        directory: Where the scenario's files are; the innermost line of one of them is named.
    """
    if isinstance(error, SyntaxError) and error.filename:
        return f"SyntaxError: {error.msg} ({error.filename}:{error.lineno})"
    place = _origin(error, directory)
    where = f" ({place.filename}:{place.lineno} in {place.name})" if place else ""
    return _labelled(error, message_of(error)) + where


def cause_of(error: BaseException, directory: str) -> str:
    """The cause of `error`, in one line of at most `MAX_CAUSE_BYTES` bytes; see `describe`."""
    return _with_origin(
        error, directory, numberless_but_addresses(message_of(error)), MAX_CAUSE_BYTES
    )


def headline_of(error: BaseException, directory: str) -> str:
    """The cause of `error` as it was this time, with its numbers, in one line."""
    return _with_origin(error, directory, message_of(error), MAX_HEADLINE_BYTES)


def _with_origin(error: BaseException, directory: str, text: str, most: int) -> str:
    place = _origin(error, directory)
    where = f" ({Path(place.filename).name}:{place.lineno} in {place.name})" if place else ""
    where = _cut(where, most // 2)
    return _cut(_labelled(error, text), most - len(where.encode())) + where


def _origin(error: BaseException, directory: str) -> traceback.FrameSummary | None:
    frames = [
        frame
        for frame in traceback.extract_tb(error.__traceback__)
        if not frame.filename.startswith("<frozen")
    ]
    own = [frame for frame in frames if directory and frame.filename.startswith(directory + "/")]
    return next(reversed(own or frames), None)


def message_of(error: BaseException) -> str:
    """The message of `error` in one line of limited length; empty when it has none."""
    try:
        text = str(error)
    except BaseException:  # a __str__ of the scenario's may raise anything
        return ""
    return " ".join(_shortened(text).split())


def _labelled(error: BaseException, text: str) -> str:
    return f"{type(error).__name__}: {text}" if text else type(error).__name__


def _shortened(text: str) -> str:
    return text if len(text) <= MAX_TEXT else text[:MAX_TEXT] + "…"


def _cut(text: str, most: int) -> str:
    """`text` in at most `most` bytes of UTF-8; an ellipsis shows that something was cut."""
    encoded = text.encode(errors="backslashreplace")
    if len(encoded) <= most:
        return encoded.decode()
    return encoded[: most - len("…".encode())].decode(errors="ignore") + "…"


def copy_of(error: E) -> E:
    """The same exception as if it had not been raised yet.

    One that was raised refers to the frames that it passed; so what keeps an exception, to raise it
    later or for others, keeps and raises copies. An exception that cannot be copied is itself.
    """
    try:
        made = error.__class__.__new__(error.__class__, *error.args)
        made.args = error.args
        made.__dict__.update(error.__dict__)
    except Exception:  # a class of the scenario's may do anything
        return error
    return made


def raise_without_cycle(holder: list[E]) -> NoReturn:
    """Raise the exception that `holder` has, and take it out.

    An exception refers to the frames that it has passed, so one that a frame refers to would stay
    in memory, with all that those frames know, until the garbage collector comes.
    """
    raise holder.pop()


def trace_of(error: BaseException) -> str:
    """The traceback of `error`, its end where it is too long."""
    try:
        text = "".join(map(_shortened, traceback.format_exception(error)))
    except BaseException:  # its own __str__ may raise anything
        text = "".join(traceback.format_tb(error.__traceback__)) + type(error).__name__
    return end_of(text)


def end_of(trace: str) -> str:
    """The last `MAX_TRACEBACK` characters of a traceback; an ellipsis where it has more."""
    return trace if len(trace) <= MAX_TRACEBACK else "…" + trace[-MAX_TRACEBACK:]
