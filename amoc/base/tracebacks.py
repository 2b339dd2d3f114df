"""An exception's message and origin in one line. Pure."""

from __future__ import annotations

import traceback

MAX_TEXT = 2_000
"""Characters of an error's message that are used: it may contain all that a server has sent."""


def text_of(error: BaseException) -> str:
    """The message of `error` in one line of limited length; empty when it has none."""
    try:
        text = str(error)
    except Exception:  # a __str__ of the scenario's may raise anything
        return ""
    return " ".join(shortened(text).split())


def shortened(text: str) -> str:
    """The first `MAX_TEXT` characters of `text`; an ellipsis shows that there were more."""
    return text if len(text) <= MAX_TEXT else text[:MAX_TEXT] + "…"


def describe(error: BaseException, directory: str = "") -> str:
    """`error` with its origin in one line: ``ValueError: no (chat.py:12 in init)``."""
    text = text_of(error)
    label = f"{type(error).__name__}: {text}" if text else type(error).__name__
    if isinstance(error, SyntaxError) and error.filename:
        return f"SyntaxError: {error.msg} ({error.filename}:{error.lineno})"
    frames = [
        frame
        for frame in traceback.extract_tb(error.__traceback__)
        if not frame.filename.startswith("<frozen")
    ]
    own = [frame for frame in frames if directory and frame.filename.startswith(directory + "/")]
    place = (own or frames)[-1:]
    return f"{label} ({place[0].filename}:{place[0].lineno} in {place[0].name})" if place else label
