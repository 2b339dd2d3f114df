"""Conversion of any value to JSON types, with secrets hidden. Pure."""

from __future__ import annotations

from collections.abc import Mapping
from math import isfinite
from typing import Any

from amoc.base.redaction import hide

JsonObject = Mapping[str, Any]
"""A JSON object, such as a summary or a line of a journal; its fields depend on the file."""

_OF_SETTINGS = ("values", "settings", "sources")
"""Fields whose keys are names of settings."""


def plain(value: object) -> Any:  # JSON of the same shape as `value`
    """Return `value` as JSON types with secrets hidden; other types become text."""
    if isinstance(value, Mapping):
        return {
            str(name): plain(hide(one) if name in _OF_SETTINGS else one)
            for name, one in value.items()
        }
    if isinstance(value, list | tuple | set | frozenset):
        return [plain(one) for one in value]
    if isinstance(value, float) and not isfinite(value):
        return str(value)
    if value is None or isinstance(value, str | int | float):
        return value
    return str(value)
