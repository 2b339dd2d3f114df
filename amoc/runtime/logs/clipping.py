"""Extra data of a log line, cut to a size that a log can hold. Pure.

The data come from the scenario, and may be all that a server has sent. So what is cut off is not
examined, not even for secrets, which are hidden in the remainder.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from math import isfinite

from amoc.base.redaction import HIDDEN, fields_of, is_secret

CUT = "…"
"""Marks where something was cut off."""
MAX_DEPTH = 32
MAX_BITS = 256
"""Most bits of a number; a longer one becomes text."""
EACH = 4
"""Characters counted for each value in addition to its text."""


def clip(value: object, most: int) -> object:
    """Return `value` as JSON types, cut to about `most` characters."""
    return _Room(most).take(value, 0)


class _Room:
    """The number of characters left."""

    def __init__(self, left: int) -> None:
        self._left = left

    def take(self, value: object, depth: int) -> object:
        """Return as much of `value` as there is room for."""
        self._left -= EACH
        if self._left < 0 or depth > MAX_DEPTH:
            return CUT
        if value is None or (isinstance(value, float) and isfinite(value)):
            return value
        if isinstance(value, int) and value.bit_length() <= MAX_BITS:
            return value
        if isinstance(value, str):
            return self._text(value)
        fields = fields_of(value)
        if fields is not None:
            return self._fields(fields, depth)
        if isinstance(value, list | tuple | set | frozenset):
            return self._items(value, depth)
        return self._text(str(value[: self._left] if isinstance(value, bytes) else value))

    def _text(self, text: str) -> str:
        cut = text if len(text) <= self._left else text[: self._left] + CUT
        self._left -= len(cut)
        return cut

    def _fields(self, fields: Mapping[object, object], depth: int) -> dict[str, object]:
        taken: dict[str, object] = {}
        for key, value in fields.items():
            name = str(key)
            self._left -= len(name)
            if self._left <= 0:
                taken[CUT] = f"{len(fields) - len(taken)} more"
                break
            # Once cut, a value may no longer be recognisable as secret.
            taken[name] = HIDDEN if is_secret(name) else self.take(value, depth + 1)
        return taken

    def _items(self, items: Collection[object], depth: int) -> list[object]:
        taken: list[object] = []
        for value in items:
            if self._left <= 0:
                taken.append(f"{CUT} {len(items) - len(taken)} more")
                break
            taken.append(self.take(value, depth + 1))
        return taken
