"""A raw value as one of a setting's type. Pure.

pydantic knows all types and decides what may become what. To load it takes 50 ms and 8 MB in each
process, so the values that nearly all settings have are recognized without it: those that have
their type already, and plain numbers as text. `known` answers only where pydantic would say the
same.
"""

from __future__ import annotations

import re
import types
from collections.abc import Callable
from math import inf
from typing import TYPE_CHECKING, Annotated, Any, Union, get_args, get_origin

if TYPE_CHECKING:
    from pydantic import ValidationError

UNKNOWN: Any = object()
_PLAIN = (bool, int, float, str)
_INT = re.compile(r"0|-?[1-9][0-9]{0,14}")
_FLOAT = re.compile(r"-?[0-9]{1,15}(\.[0-9]{1,15})?")
_WORDS = {(bool, "true"): True, (bool, "false"): False, (float, "infinity"): inf}
_EXACT = 2**53
"""Whole numbers up to here are exact as floats."""


class Before:
    """In ``Annotated[float, Before(read)]``: what prepares a raw value for the type.

    Args:
        read: Returns it prepared; raises ValueError to refuse it.
    """

    def __init__(self, read: Callable[[object], object]) -> None:
        self.read = read

    def __get_pydantic_core_schema__(self, source: Any, handler: Callable[[Any], Any]) -> Any:
        """The same for pydantic, where the type is part of another one."""
        from pydantic_core import core_schema

        return core_schema.no_info_before_validator_function(self.read, handler(source))


class Converter:
    """Makes raw values ones of the type `form`, whatever pydantic takes for one."""

    def __init__(self, form: Any) -> None:
        self._before: Callable[[object], object] | None = None
        if get_origin(form) is Annotated:
            base, *notes = get_args(form)
            if len(notes) == 1 and isinstance(notes[0], Before):
                self._before, form = notes[0].read, base
        self._form = form
        self._adapter: Any = None

    def convert(self, raw: object) -> Any:
        """`raw` as one of the type.

        Raises:
            ValueError: Why it cannot be one, as a clause: ``must be a valid integer``.
        """
        if self._before is not None:
            raw = self._before(raw)
        found = known(self._form, raw)
        return self._asked(raw) if found is UNKNOWN else found

    def _asked(self, raw: object) -> Any:
        from pydantic import TypeAdapter, ValidationError

        if self._adapter is None:
            self._adapter = TypeAdapter(self._form)
        try:
            return self._adapter.validate_python(raw)
        except ValidationError as error:
            if isinstance(raw, str) and raw[:1] in "[{":
                try:
                    return self._adapter.validate_json(raw)
                except ValidationError:
                    pass
            raise ValueError(_clause(error)) from None


def known(form: Any, raw: object) -> Any:
    """`raw` as one of the type `form`, where that is plain; otherwise `UNKNOWN`."""
    if get_origin(form) in (Union, types.UnionType):
        options = get_args(form)
        if type(raw) in options and type(raw) in (*_PLAIN, type(None)):
            return raw
        others = [one for one in options if one is not type(None)]
        return known(others[0], raw) if len(others) == 1 else UNKNOWN
    if form not in _PLAIN:
        return UNKNOWN
    if type(raw) is form:
        return raw
    if form is float and type(raw) is int and abs(raw) < _EXACT:
        return float(raw)
    if type(raw) is not str:
        return UNKNOWN
    if form is int and _INT.fullmatch(raw):
        return int(raw)
    if form is float and _FLOAT.fullmatch(raw):
        return float(raw)
    return _WORDS.get((form, raw), UNKNOWN)


def _clause(error: ValidationError) -> str:
    """Pydantic's first complaint as a clause: ``must be a valid integer``."""
    text = error.errors(include_url=False)[0]["msg"]
    text = text.removeprefix("Value error, ").removesuffix(".")
    return text.replace("Input should be", "must be").split(", unable to ")[0]
