"""Pure. Examples for schemas: from the document, or the smallest valid value."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import TypeGuard

from amoc.recording.openapi import Document, Object

MAX_DEPTH = 8
"""Of nested objects; deeper ones are left empty."""
MAX_VALUES = 500
"""Per example."""
MAX_LENGTH = 200
_FORMATS = {
    "date": "2026-01-31",
    "date-time": "2026-01-31T12:00:00Z",
    "time": "12:00:00Z",
    "email": "user@example.com",
    "uuid": "123e4567-e89b-12d3-a456-426614174000",
    "uri": "https://example.com/",
    "url": "https://example.com/",
    "hostname": "example.com",
    "ipv4": "192.0.2.1",
    "ipv6": "2001:db8::1",
    "byte": "ZXhhbXBsZQ==",
}


class Examples:
    """Makes examples.

    Attributes:
        guessed: Whether a value in the last one is a guess that may not be valid.
    """

    def __init__(self, document: Document) -> None:
        self._document = document
        self._left = 0
        self.guessed = False

    def of_holder(self, holder: Object, where: str) -> object:
        """Return an example for a parameter or a media type: its own, or one for its schema."""
        self._left, self.guessed = MAX_VALUES, False
        if "example" in holder:
            return holder["example"]
        examples = holder.get("examples")
        if isinstance(examples, Mapping) and examples:
            first = self._document.resolve(next(iter(examples.values())), f"{where}: examples")
            if "value" in first:
                return first["value"]
        return self._of(holder.get("schema") or {}, where, 0)

    def _of(self, schema: object, where: str, depth: int) -> object:
        if isinstance(schema, bool):
            return {}
        schema = self._document.resolve(schema, f"{where}: schema")
        self._left -= 1
        for name in ("example", "default", "const"):
            if name in schema:
                return schema[name]
        for name in ("examples", "enum"):
            if isinstance(given := schema.get(name), list) and given:
                return given[0]
        if depth > MAX_DEPTH or self._left <= 0:
            return None
        if isinstance(parts := schema.get("allOf"), list):
            return self._all_of(schema, parts, where, depth)
        for name in ("oneOf", "anyOf"):
            if isinstance(choices := schema.get(name), list) and choices:
                real = [one for one in choices if not _is_null(one)]
                return self._of((real or choices)[0], where, depth + 1)
        return self._of_type(schema, where, depth)

    def _all_of(self, schema: Object, parts: list[object], where: str, depth: int) -> object:
        rest = {name: value for name, value in schema.items() if name != "allOf"}
        found: dict[str, object] = {}
        for part in [*parts, rest]:
            one = self._of(part, where, depth + 1)
            if not isinstance(one, Mapping):
                return one
            found.update(one)
        return found

    def _of_type(self, schema: Object, where: str, depth: int) -> object:
        kind = schema.get("type")
        if isinstance(kind, list):
            kind = next((one for one in kind if one != "null"), "null")
        if kind == "object" or (kind is None and "properties" in schema):
            return self._of_object(schema, where, depth)
        if kind == "array":
            count = min(max(1, _whole(schema.get("minItems"), 1)), 20)
            return [self._of(schema.get("items") or {}, where, depth + 1) for _ in range(count)]
        if kind in ("integer", "number"):
            return _number(schema, kind == "integer")
        if kind == "boolean":
            return True
        if kind == "null":
            return None
        if kind == "string":
            return self._text(schema)
        return {}

    def _of_object(self, schema: Object, where: str, depth: int) -> dict[str, object]:
        properties = schema.get("properties")
        if not isinstance(properties, Mapping):
            return {}
        required = schema.get("required")
        listed = required if isinstance(required, list) else []
        names = [name for name in listed if isinstance(name, str) and name in properties]
        found = {}
        for name in names or properties:
            part = properties[name]
            if isinstance(part, Mapping) and part.get("readOnly") is True:
                continue
            if self._left <= 0:
                break
            found[str(name)] = self._of(part, where, depth + 1)
        return found

    def _text(self, schema: Object) -> str:
        kind = schema.get("format")
        if isinstance(kind, str) and kind in _FORMATS:
            return _FORMATS[kind]
        self.guessed = True
        least, most = _whole(schema.get("minLength"), 0), _whole(schema.get("maxLength"), 10**6)
        text = "example"
        while len(text) < min(least, MAX_LENGTH):
            text += " example"
        return text[: max(0, most)]


def _is_null(schema: object) -> bool:
    return isinstance(schema, Mapping) and schema.get("type") == "null"


def _whole(value: object, otherwise: int) -> int:
    return int(value) if _is_number(value) else otherwise


def _number(schema: Object, is_whole: bool) -> int | float:
    least: float = 1
    for name, above in (("minimum", 0), ("exclusiveMinimum", 1)):
        bound = schema.get(name)
        if _is_number(bound):
            least = bound + above
            if schema.get("exclusiveMinimum") is True:
                least += 1
    if _is_number(most := schema.get("maximum")) and most < least:
        least = most
    step = schema.get("multipleOf")
    if _is_number(step) and step > 1e-9:
        least = math.ceil(least / step) * step
    return math.ceil(least) if is_whole else least


def _is_number(value: object) -> TypeGuard[int | float]:
    return isinstance(value, int | float) and not isinstance(value, bool) and abs(value) < 1e15
