"""Pure. Data forms (XEP-0004): reading forms, and filling them in."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from xml.etree.ElementTree import Element

from amoc.xmpp.wire import namespaces as ns
from amoc.xmpp.wire.xml_text import escape

Value = str | int | bool | Iterable[str]
"""Value of one field; several values are texts."""


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
    filled = _field("FORM_TYPE", form_type, " type='hidden'")
    for name, value in fields.items():
        filled += _field(name if "#" in name else prefix + name, value)
    return f"<x xmlns='{ns.FORMS}' type='submit'>{filled}</x>"


def _field(name: str, value: Value, attrs: str = "") -> str:
    if isinstance(value, bool):
        texts: Iterable[str] = [str(int(value))]
    elif isinstance(value, str | int):
        texts = [str(value)]
    else:
        texts = value
    inside = "".join(f"<value>{escape(text)}</value>" for text in texts)
    return f"<field var='{escape(name)}'{attrs}>{inside}</field>"
