"""Exceptions as text: message, origin, cause of a crash, traceback. Pure.

Two crashes have the same cause if the same type of error, with the same text apart from numbers,
came from the same line of the scenario. Every exception has a cause, even one whose message cannot
be formatted or is not Unicode.
"""

from __future__ import annotations

import traceback
from pathlib import Path
from typing import NoReturn, TypeVar

from amoc.base.text import numberless_but_addresses

E = TypeVar("E", bound=BaseException)

MAX_TEXT = 2_000
"""Maximum length of an error's message, which may contain a server's whole response."""
MAX_CAUSE_BYTES = 240
"""Maximum length in UTF-8; causes are metric names on the board, which have no more room."""
MAX_HEADLINE_BYTES = 500
"""Maximum length in UTF-8; fits into a few lines of a terminal."""
MAX_TRACEBACK = 20_000
"""Maximum length of a traceback, in characters."""


def describe(error: BaseException, directory: str = "") -> str:
    """Return `error` with its origin in one line: ``ValueError: no (chat.py:12 in init)``.

    Args:
        error: The exception.
        directory: The directory of the scenario's files; the innermost line in one is the origin.
    """
    if isinstance(error, SyntaxError) and error.filename:
        return f"SyntaxError: {error.msg} ({error.filename}:{error.lineno})"
    place = _origin(error, directory)
    where = f" ({place.filename}:{place.lineno} in {place.name})" if place else ""
    return _labelled(error, message_of(error)) + where


def cause_of(error: BaseException, directory: str) -> str:
    """Return the cause of `error` in one line of at most `MAX_CAUSE_BYTES`; see `describe`."""
    return _with_origin(
        error, directory, numberless_but_addresses(message_of(error)), MAX_CAUSE_BYTES
    )


def headline_of(error: BaseException, directory: str) -> str:
    """Return the cause of `error` in one line, with the numbers of this occurrence."""
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
    """Return the message of `error` in one line of limited length; empty if it has none."""
    try:
        text = str(error)
    except BaseException:  # the scenario's __str__ may raise anything
        return ""
    return " ".join(_shortened(text).split())


def _labelled(error: BaseException, text: str) -> str:
    return f"{type(error).__name__}: {text}" if text else type(error).__name__


def _shortened(text: str) -> str:
    return text if len(text) <= MAX_TEXT else text[:MAX_TEXT] + "…"


def _cut(text: str, most: int) -> str:
    """Shorten `text` to at most `most` bytes of UTF-8, with an ellipsis if it was cut."""
    encoded = text.encode(errors="backslashreplace")
    if len(encoded) <= most:
        return encoded.decode()
    return encoded[: most - len("…".encode())].decode(errors="ignore") + "…"


def copy_of(error: E) -> E:
    """Return a copy of `error` without a traceback; `error` itself if it cannot be copied.

    A raised exception refers to the frames it passed. So code that keeps an exception to raise it
    later, or in several places, keeps and raises copies.
    """
    try:
        made = error.__class__.__new__(error.__class__, *error.args)
        made.args = error.args
        made.__dict__.update(error.__dict__)
    except Exception:  # a class of the scenario may do anything
        return error
    return made


def raise_without_cycle(holder: list[E]) -> NoReturn:
    """Remove the exception from `holder` and raise it.

    A raised exception refers to the frames it passed. If one of these referred to the exception,
    the cycle would keep the frames and all their objects alive until garbage collection.
    """
    raise holder.pop()


def trace_of(error: BaseException) -> str:
    """Return the traceback of `error`; only its end if it is too long."""
    try:
        text = "".join(map(_shortened, traceback.format_exception(error)))
    except BaseException:  # its __str__ may raise anything
        text = "".join(traceback.format_tb(error.__traceback__)) + type(error).__name__
    return end_of(text)


def end_of(trace: str) -> str:
    """Return the last `MAX_TRACEBACK` characters of a traceback, with an ellipsis if it is cut."""
    return trace if len(trace) <= MAX_TRACEBACK else "…" + trace[-MAX_TRACEBACK:]
