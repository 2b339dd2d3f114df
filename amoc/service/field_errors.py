"""Errors in the fields of a request, in amoc's wording instead of pydantic's. Pure."""

from __future__ import annotations

import re
from collections.abc import Sequence

from pydantic_core import ErrorDetails

from amoc.base.redaction import hide, is_secret
from amoc.base.text import cut
from amoc.service import requests

_PATTERNS = {
    requests.ONE_LINE: "must be one line of printable characters",
    requests.LOCAL_NODES: "must be nodes of the server's host, such as local:3",
    requests.RUN_ID: "must be the name of a run, or last, last~1 and so on",
    requests.SCENARIO_NAME: "must be the name of a scenario as GET /scenarios lists it",
    requests.SCENARIOS: "must be a name that GET /scenarios lists, or several with loads",
    requests.UPLOAD_NAME: "must be letters, digits and _, like a module name",
}
_WORDS = {
    "extra_forbidden": "is not a field of this request",
    "missing": "is required",
    "bool_parsing": "must be true or false",
    "bool_type": "must be true or false",
    "dict_type": "must be an object",
    "float_type": "must be a number",
    "int_parsing": "must be a whole number",
    "int_type": "must be a whole number",
    "list_type": "must be a list",
    "model_attributes_type": "must be an object",
    "model_type": "must be an object",
    "string_type": "must be a string",
    "timezone_aware": "must have a time zone, such as 2026-12-01T02:00:00+01:00",
}
_SHOULD = re.compile(r"^(Value error, )?(?:[A-Z]\w+ should )?")
_OPEN = ("settings", "values", "module_source")
"""Fields with values of a scenario, which may be long or secret."""


def field_errors(errors: Sequence[ErrorDetails]) -> list[tuple[str, str]]:
    """Return the path and the problem of each invalid field.

    Args:
        errors: Result of pydantic's `ValidationError.errors()`.
    """
    return [(_path(one["loc"]), _rule(one) + _given(one)) for one in errors]


def _path(place: Sequence[int | str]) -> str:
    return ".".join(str(part) for part in place) or "body"


def _rule(error: ErrorDetails) -> str:
    kind, told = str(error["type"]), str(error["msg"])
    if kind == "string_pattern_mismatch":
        return _PATTERNS.get(str(error.get("ctx", {}).get("pattern")), "has the wrong form")
    if kind in _WORDS:
        return _WORDS[kind]
    rule = _SHOULD.sub("", told, count=1)
    for long, short in (
        ("greater than or equal to", "at least"),
        ("less than or equal to", "at most"),
    ):
        rule = rule.replace(long, short)
    return f"must {rule}" if rule.startswith(("be ", "have ")) else f"is wrong: {told}"


def _given(error: ErrorDetails) -> str:
    """Return the invalid value for a message, if it helps and may be shown."""
    value, place = error.get("input"), error["loc"]
    plain = isinstance(value, str | int | float) and not isinstance(value, bool)
    if not plain or error["type"] == "extra_forbidden":
        return ""
    if any(part in _OPEN or is_secret(part) for part in place):
        return ""
    return f", got {cut(hide(value))}"
