"""Pure. Data forms (XEP-0004) of a service, and the records that they configure."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from typing import Any, Final, NamedTuple

from amoc.xmpp.wire import namespaces as ns
from amoc.xmpp.wire.forms import Field

MAX_TEXT: Final = 1023
"""Maximum length of a text in a form."""
FORM: Final = f"{{{ns.FORMS}}}x"


def is_true(text: str) -> bool:
    """Parse a boolean in a form.

    Raises:
        ValueError: It is not a boolean.
    """
    if text in ("1", "true"):
        return True
    if text in ("0", "false"):
        return False
    raise ValueError(f"must be 0, 1, true or false, got {text!r}")


class Setting(NamedTuple):
    """A field of a configuration form, and the attribute that it configures."""

    var: str
    attribute: str
    label: str
    options: tuple[str, ...] = ()


def shown(config: object, settings: Sequence[Setting]) -> list[Field]:
    """Return the fields of a form with the values of `config`, a record."""
    fields = []
    for setting in settings:
        value = getattr(config, setting.attribute)
        kind = "text-single"
        if isinstance(value, bool):
            kind, value = "boolean", int(value)
        elif setting.options:
            kind = "list-single"
        fields.append(Field(setting.var, (str(value),), kind, setting.label, setting.options))
    return fields


def changes(
    config: object, settings: Sequence[Setting], values: dict[str, list[str]]
) -> dict[str, Any]:  # Any: each attribute has its own type
    """Return the changes to `config` in a form; fields that are not in `settings` are ignored.

    A number may be ``none`` or ``max``, which means unlimited.

    Raises:
        ValueError: A value is invalid.
    """
    changed: dict[str, bool | int | str] = {}
    for setting in settings:
        given = values.get(setting.var)
        if given is None:
            continue
        text = given[0] if given else ""
        old = getattr(config, setting.attribute)
        if isinstance(old, bool):
            changed[setting.attribute] = is_true(text)
        elif isinstance(old, int):
            most = text in ("", "none", "max")
            changed[setting.attribute] = sys.maxsize if most else max(0, int(text))
        elif len(text) > MAX_TEXT or (setting.options and text not in setting.options):
            raise ValueError(f"{setting.var} must be one of {setting.options}, got {text[:80]!r}")
        else:
            changed[setting.attribute] = text
    return changed
