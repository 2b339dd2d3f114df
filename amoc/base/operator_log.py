"""Messages from a run to its operator. Pure."""

from __future__ import annotations

from collections.abc import Callable


class OperatorLog:
    """Shows lines to the operator; never blocks.

    Attributes:
        show: Called with a level (``info``, ``warning``, ``error``, or ``trace`` for the traceback
            of the preceding line) and a text.
    """

    def __init__(self, show: Callable[[str, str], object] = lambda _level, _text: None) -> None:
        self.show = show

    def info(self, text: str) -> None:
        """Show a line about normal operation."""
        self.show("info", text)

    def warning(self, text: str, trace: str = "") -> None:
        """Show a warning, with its traceback if `trace` is given."""
        self._show("warning", text, trace)

    def error(self, text: str, trace: str = "") -> None:
        """Show an error, with its traceback if `trace` is given."""
        self._show("error", text, trace)

    def _show(self, level: str, text: str, trace: str) -> None:
        self.show(level, text)
        if trace:
            self.show("trace", trace)
