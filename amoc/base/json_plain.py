"""Any value as JSON types, without secrets. Pure."""

from __future__ import annotations

from collections.abc import Mapping
from math import isfinite
from typing import Any

from amoc.base.redaction import hide

JsonObject = Mapping[str, Any]
"""An object as JSON has it: a summary, a line of a journal. What its fields hold, the file says."""

_OF_SETTINGS = ("values", "settings", "sources")
"""Fields below which names are names of settings."""


def plain(value: object) -> Any:  # JSON of whatever shape `value` has
    """`value` as JSON types, without secrets; what JSON has no type for becomes text."""
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
