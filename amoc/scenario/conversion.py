"""Conversion of raw values to the types of settings. Pure.

pydantic defines the conversions. But loading it takes 50 ms and 8 MB in each process, so the most
common values are converted without it: those that have the right type already, and plain numbers as
text. `known` handles only values for which pydantic would give the same result.
"""

from __future__ import annotations

import re
import types
from collections.abc import Callable, Mapping
from math import inf
from typing import TYPE_CHECKING, Annotated, Any, Final, TypeAlias, Union, get_args, get_origin

if TYPE_CHECKING:
    from pydantic import GetCoreSchemaHandler, TypeAdapter, ValidationError
    from pydantic_core import CoreSchema

TypeForm: TypeAlias = Any  # Any: no type includes unions and Annotated
"""Anything pydantic accepts as a type, such as a class, a union or Annotated."""
UNKNOWN: Final = object()
_PLAIN = (bool, int, float, str)
_INT = re.compile(r"0|-?[1-9][0-9]{0,14}")
_FLOAT = re.compile(r"-?[0-9]{1,15}(\.[0-9]{1,15})?")
_WORDS: Mapping[tuple[object, str], object] = {
    (bool, "true"): True,
    (bool, "false"): False,
    (float, "infinity"): inf,
}
_EXACT = 2**53
"""Integers up to this one are exact as floats."""


class Before:
    """Preprocessing of a raw value, as in ``Annotated[float, Before(read)]``.

    Args:
        read: Returns the preprocessed value; raises ValueError to reject it.
    """

    def __init__(self, read: Callable[[object], object]) -> None:
        self.read = read

    def __get_pydantic_core_schema__(
        self, source: object, handler: GetCoreSchemaHandler
    ) -> CoreSchema:
        """Do the same within pydantic, for a type nested in another one."""
        from pydantic_core import core_schema

        return core_schema.no_info_before_validator_function(self.read, handler(source))


class Converter:
    """Converts raw values to the type `form`, which may be anything pydantic supports."""

    def __init__(self, form: object) -> None:
        self._before: Callable[[object], object] | None = None
        if get_origin(form) is Annotated:
            base, *notes = get_args(form)
            if len(notes) == 1 and isinstance(notes[0], Before):
                self._before, form = notes[0].read, base
        self._form: TypeForm = form
        self._adapter: TypeAdapter[object] | None = None

    def convert(self, raw: object) -> Any:  # Any: of the type `form`
        """Convert `raw` to the type.

        Raises:
            ValueError: The reason, as a clause: ``must be a valid integer``.
        """
        if self._before is not None:
            raw = self._before(raw)
        found = known(self._form, raw)
        return self._by_pydantic(raw) if found is UNKNOWN else found

    def _by_pydantic(self, raw: object) -> object:
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


def known(form: object, raw: object) -> object:
    """Convert `raw` to the type `form` in simple cases; otherwise return `UNKNOWN`."""
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
    """Return pydantic's first error as a clause: ``must be a valid integer``."""
    text = error.errors(include_url=False)[0]["msg"]
    text = text.removeprefix("Value error, ").removesuffix(".")
    return text.replace("Input should be", "must be").split(", unable to ")[0]
