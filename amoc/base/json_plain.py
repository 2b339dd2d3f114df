"""JSON: conversion of any value to its types, with secrets hidden; fields of parsed JSON. Pure."""

from __future__ import annotations

from collections.abc import Mapping
from math import isfinite
from typing import Any, TypeAlias

from amoc.base.redaction import hide

Json: TypeAlias = "dict[str, Json] | list[Json] | str | int | float | None"
"""Parsed JSON of unknown shape; check a value's type before using it."""

JsonObject: TypeAlias = Mapping[str, Any]  # Any: the fields depend on the file
"""A JSON object that amoc wrote, such as a summary or a line of a journal."""

_OF_SETTINGS = ("values", "settings", "sources")
"""Fields whose keys are names of settings."""
_MAX = 1e300
"""Numbers beyond that are no measure of anything, and some are too large for a float."""


def plain(value: object) -> Json:
    """Return `value` as JSON types with secrets hidden; other types become text."""
    if isinstance(value, Mapping):
        return plain_object(value)
    if isinstance(value, list | tuple | set | frozenset):
        return [plain(one) for one in value]
    if isinstance(value, float) and not isfinite(value):
        return str(value)
    if value is None or isinstance(value, str | int | float):
        return value
    return str(value)


def plain_object(fields: Mapping[str, object]) -> dict[str, Json]:
    """Return `fields` as a JSON object, with secrets hidden as by `plain`."""
    return {
        str(name): plain(hide(one) if name in _OF_SETTINGS else one) for name, one in fields.items()
    }


def object_in(found: Mapping[str, object], name: str) -> dict[str, Json]:
    """Return the object in field `name` of parsed JSON; empty if it is missing or no object."""
    value = found.get(name)
    return value if isinstance(value, dict) else {}


def objects_in(found: Mapping[str, object], name: str) -> list[dict[str, Json]]:
    """Return the objects of the list in field `name` of parsed JSON; empty if it is no list."""
    value = found.get(name)
    return [one for one in value if isinstance(one, dict)] if isinstance(value, list) else []


def number_in(found: Mapping[str, object], name: str) -> float:
    """Return the number in field `name` of parsed JSON; 0 if it is missing or no number."""
    return known_number(found.get(name)) or 0


def text_in(found: Mapping[str, object], name: str) -> str:
    """Return the text in field `name` of parsed JSON; empty if it is missing or no text."""
    value = found.get(name)
    return value if isinstance(value, str) else ""


def texts_in(found: Mapping[str, object], name: str) -> list[str]:
    """Return the texts of the list in field `name` of parsed JSON; empty if it is no list."""
    value = found.get(name)
    return [one for one in value if isinstance(one, str)] if isinstance(value, list | tuple) else []


def known_number(found: object) -> float | None:
    """Return a value of parsed JSON if it is a number that a float can hold, else None."""
    return found if isinstance(found, int | float) and abs(found) < _MAX else None
