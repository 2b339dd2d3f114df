"""Pure. Data forms (XEP-0004): reading and writing them."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import NamedTuple
from xml.etree.ElementTree import Element

from amoc.xmpp.wire import namespaces as ns
from amoc.xmpp.wire.xml_text import attributes, escape

Value = str | int | bool | Iterable[str]
"""Value of one field; several values are texts."""


class Field(NamedTuple):
    """One field of a form."""

    var: str
    values: Iterable[str] = ()
    kind: str | None = None
    """Its type, such as ``boolean``; None in an answer."""
    label: str | None = None
    options: tuple[str, ...] = ()


def form(kind: str, form_type: str, fields: Iterable[Field]) -> str:
    """Return a form as markup; `kind` is form, submit or result.

    Raises:
        ScenarioError: A value contains a character that XML cannot carry.
    """
    every = (Field("FORM_TYPE", (form_type,), "hidden"), *fields)
    return f"<x xmlns='{ns.FORMS}' type='{kind}'>{''.join(map(_field, every))}</x>"


def _field(field: Field) -> str:
    values = "".join(f"<value>{escape(value)}</value>" for value in field.values)
    options = "".join(
        f"<option><value>{escape(option)}</value></option>" for option in field.options
    )
    head = attributes(var=field.var, type=field.kind, label=field.label)
    return f"<field{head}>{options}{values}</field>"


def values(form: Element) -> dict[str, list[str]]:
    """Return the values of a form's fields, by name; a field without a value has an empty list."""
    found = {}
    for field in form.iterfind(f"{{{ns.FORMS}}}field"):
        texts = [one.text or "" for one in field.iterfind(f"{{{ns.FORMS}}}value")]
        found[field.get("var", "")] = texts
    return found


def submit(form_type: str, fields: Mapping[str, Value], prefix: str = "") -> str:
    """Return a filled-in form.

    Args:
        form_type: Its FORM_TYPE.
        fields: Values by name.
        prefix: Added to names without ``#``, for example ``muc#roomconfig_``.

    Raises:
        ScenarioError: A value contains a character that XML cannot carry.
    """
    filled = (
        Field(name if "#" in name else prefix + name, _texts(value))
        for name, value in fields.items()
    )
    return form("submit", form_type, filled)


def _texts(value: Value) -> Iterable[str]:
    if isinstance(value, str | int):
        return (str(int(value) if isinstance(value, bool) else value),)
    return value
