"""What a run tells the person who operates it. Pure."""

from __future__ import annotations

from collections.abc import Callable


class Operator:
    """Shows lines to the operator, and never waits.

    Attributes:
        tell: Takes a level (``info``, ``warning``, ``error``, or ``trace`` for the traceback of the
            one before) and a text.
    """

    def __init__(self, tell: Callable[[str, str], object] = lambda _level, _text: None) -> None:
        self.tell = tell

    def info(self, text: str) -> None:
        """Show what goes as it should."""
        self.tell("info", text)

    def warning(self, text: str, trace: str = "") -> None:
        """Show what may need a look; `trace` is a traceback."""
        self._tell("warning", text, trace)

    def error(self, text: str, trace: str = "") -> None:
        """Show what went wrong; `trace` is a traceback."""
        self._tell("error", text, trace)

    def trace(self, text: str) -> None:
        """Show the traceback of the line before."""
        self.tell("trace", text)

    def _tell(self, level: str, text: str, trace: str) -> None:
        self.tell(level, text)
        if trace:
            self.trace(trace)
