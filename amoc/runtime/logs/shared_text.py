"""What log lines of one kind say alike, as one text. Pure.

A line that stands for many must say nothing that is true of one alone: not that user 6 got a 500
when 55 users did. So arguments that were the same in all of them are shown, those that differ in
their numbers only are shown without these, and any other is ``#``. Where a message was put together
before it was logged, or has its arguments by name, and lines differ, all its numbers are left out.
"""

from __future__ import annotations

import re

from amoc.base.text import numberless
from amoc.runtime.logs.folding import MAX_TEMPLATE

HIDDEN = "#"
"""What stands for what differs."""

_SPECIFIER = re.compile(r"%(?:%|[-+ #0]*\d*(?:\.\d+)?[hlL]?[a-zA-Z])")
_COMPARED = frozenset({str, int, float, bool, bytes, type(None)})
"""Types whose values are compared; who knows what the others' ``==`` does."""


class Common:
    """Finds what lines have in common; they come one by one, and their text is made at the end."""

    __slots__ = ("_arguments", "_message", "_reworded", "_shown")

    def __init__(self, message: str, arguments: object) -> None:
        """Begin with the first line.

        Args:
            message: What is said, before its arguments are filled in.
            arguments: Those, as a log record has them.
        """
        self._message = message
        self._arguments = _listed(arguments)
        self._shown: dict[int, str] = {}  # for arguments that differ
        self._reworded = False

    def add(self, message: str, arguments: object) -> None:
        """Another line of the same kind has come."""
        if self._reworded:
            return
        others = _listed(arguments)
        if message != self._message or len(others) != len(self._arguments):
            self._reworded = True
            return
        for number, (one, other) in enumerate(zip(self._arguments, others, strict=True)):
            if not _same(one, other) and self._shown.get(number) != HIDDEN:
                self._shown[number] = _alike(one, other)

    def text(self, first: str) -> str:
        """What all of them say.

        Args:
            first: The first line's text, whole.
        """
        if not self._reworded and not self._shown:
            return first
        places = [one for one in _SPECIFIER.findall(self._message) if one != "%%"]
        if self._reworded or len(places) != len(self._arguments):
            return numberless(first)
        arguments = enumerate(self._arguments)

        def filled(found: re.Match[str]) -> str:
            if found[0] == "%%":
                return "%"
            number, argument = next(arguments)
            shown = self._shown.get(number)
            return found[0] % (argument,) if shown is None else shown

        try:
            return _SPECIFIER.sub(filled, self._message)
        except Exception:  # an argument that does not fit, or cannot say what it is
            return numberless(first)


def _listed(arguments: object) -> list[object]:
    """Arguments to compare; of an error its text, for the error would hold on to its frames."""
    given = arguments if isinstance(arguments, tuple) else (arguments,) if arguments else ()
    return [_said(one) if isinstance(one, BaseException) else one for one in given]


def _said(error: BaseException) -> object:
    try:
        return str(error)[:MAX_TEMPLATE]
    except Exception:  # it cannot say what it is
        return type(error)


def _same(one: object, other: object) -> bool:
    return one is other or (type(one) is type(other) and type(one) in _COMPARED and one == other)


def _alike(one: object, other: object) -> str:
    """What is shown for two that differ."""
    if isinstance(one, str) and isinstance(other, str):
        alike = numberless(one)
        return alike if alike == numberless(other) else HIDDEN
    return HIDDEN
