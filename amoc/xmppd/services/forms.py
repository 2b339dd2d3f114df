"""Pure. Data forms (XEP-0004) of a service, and the records that they configure."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Final, NamedTuple, TypeVar
from xml.etree.ElementTree import Element

from amoc.xmpp.wire import forms
from amoc.xmpp.wire import namespaces as ns
from amoc.xmppd.answers import StanzaFailure

if TYPE_CHECKING:
    from _typeshed import DataclassInstance

C = TypeVar("C", bound="DataclassInstance")

MAX_TEXT: Final = 1023
"""Maximum length of a text in a form."""
FORM: Final = f"{{{ns.FORMS}}}x"
_BOOLEANS: Final = {"1": True, "true": True, "0": False, "false": False}


class Setting(NamedTuple):
    """A field of a configuration form, and the attribute that it configures."""

    var: str
    attribute: str
    label: str
    options: tuple[str, ...] = ()


def shown(config: object, settings: Sequence[Setting]) -> list[forms.Field]:
    """Return the fields of a form with the values of `config`, a record."""
    fields = []
    for setting in settings:
        value = getattr(config, setting.attribute)
        kind = "text-single"
        if isinstance(value, bool):
            kind, value = "boolean", int(value)
        elif setting.options:
            kind = "list-single"
        fields.append(forms.Field(setting.var, (str(value),), kind, setting.label, setting.options))
    return fields


def changed(config: C, settings: Sequence[Setting], x: Element) -> C:
    """Return `config` with the changes in a form; fields that are not in `settings` are ignored.

    A number may be ``none`` or ``max``, which means unlimited.

    Raises:
        StanzaFailure: A value is invalid.
    """
    given = forms.values(x)
    try:
        made = {
            one.attribute: _value(one, getattr(config, one.attribute), "".join(given[one.var][:1]))
            for one in settings
            if one.var in given
        }
    except (KeyError, ValueError):
        raise StanzaFailure("not-acceptable") from None
    return replace(config, **made)


def _value(setting: Setting, old: object, text: str) -> bool | int | str:
    if isinstance(old, bool):
        return _BOOLEANS[text]
    if isinstance(old, int):
        return sys.maxsize if text in ("", "none", "max") else max(0, int(text))
    if len(text) > MAX_TEXT or (setting.options and text not in setting.options):
        raise ValueError
    return text
