"""Redaction of secret values. Pure.

A value is secret by its name: that of a setting, a table key or a record field, at any depth. Text
in JSON is searched as well, since lists and tables are given in that form on the command line.
Passwords in URLs are hidden, too. All values pass through here before they are shown, written or
put into a message.
"""

from __future__ import annotations

import dataclasses
import json
import re
import sys
from collections.abc import Iterator, Mapping, Sequence
from operator import is_
from typing import TYPE_CHECKING, TypeGuard, overload

if TYPE_CHECKING:
    from pydantic import BaseModel

HIDDEN = "(hidden)"
MAX_DEPTH = 64
"""Values nested deeper are hidden without inspection."""
SHORTEST = 3
"""Minimum length of a secret that is searched for in text; shorter ones would match any text."""
_SECRET = re.compile(r"(?i:password|passwd|secret|token|(^|[_.\- ])key$)|[a-z0-9]Key$")
_IN_URL = re.compile(r"(://[^/\s:@]*):[^/\s@]+@")
"""The password in a URL, ``http://user:password@host``."""
_WORD = re.compile(r"[\w.\-]+")


def is_secret(name: object) -> bool:
    """Return whether a value with this name must not be shown."""
    return bool(_SECRET.search(str(name)))


@overload
def hide(value: str, depth: int = 0) -> str: ...
@overload
def hide(value: object, depth: int = 0) -> object: ...
def hide(value: object, depth: int = 0) -> object:
    """Return `value` with its secrets hidden; the same object if it has none."""
    if isinstance(value, str):
        return _hide_text(value, depth)
    fields = fields_of(value)
    items = fields.values() if fields is not None else _items(value)
    if items is None:
        return value
    if depth >= MAX_DEPTH:
        return HIDDEN
    if fields is None:
        hidden = [hide(one, depth + 1) for one in items]
        return value if all(map(is_, hidden, items)) else hidden
    by_name = {
        str(name): HIDDEN if is_secret(name) else hide(one, depth + 1)
        for name, one in fields.items()
    }
    # Two keys may be the same as text: 1 and "1".
    same = len(by_name) == len(fields) and all(map(is_, by_name.values(), items))
    return value if same else by_name


def shown(name: str, value: object) -> str:
    """Return the value named `name` in the form for messages."""
    return HIDDEN if is_secret(name) else repr(hide(value))


def as_text(value: object) -> str:
    """Return `value` as text for people; as JSON if something in it is hidden."""
    hidden = hide(value)
    if hidden is value or isinstance(hidden, str):
        return f"{hidden:g}" if isinstance(hidden, float) else str(hidden)
    try:
        return json.dumps(hidden, ensure_ascii=False, default=str)
    except (TypeError, ValueError):  # a key that JSON does not support, or a cycle
        return HIDDEN


def holds_hidden(value: object) -> bool:
    """Return whether a part of `value` is hidden, after it was written and read again."""
    if isinstance(value, str):
        return value == HIDDEN or (HIDDEN in value and (_like_json(value) or "://" in value))
    if isinstance(value, Mapping):
        return any(map(holds_hidden, value.values()))
    return any(map(holds_hidden, _items(value) or ()))


def reveals(text: str, name: str, value: object) -> bool:
    """Return whether `text` contains a secret part of the value named `name`."""
    return any(len(one) >= SHORTEST and one in text for one in _secrets(name, value, False, 0))


def fields_of(value: object) -> Mapping[object, object] | None:
    """Return the values of a mapping or record by name; None if `value` is neither."""
    if isinstance(value, Mapping):
        return value
    if _is_model(value):
        known = type(value).model_fields
        return {name: one for name, one in value if name not in known or known[name].repr}
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        return {
            one.name: getattr(value, one.name, None)
            for one in dataclasses.fields(value)
            if one.repr
        }
    if isinstance(value, tuple) and hasattr(value, "_asdict"):
        return dict(value._asdict())
    return None


def _is_model(value: object) -> TypeGuard[BaseModel]:
    """Return whether `value` is a pydantic model, without loading pydantic."""
    loaded = sys.modules.get("pydantic.main")
    return loaded is not None and isinstance(value, loaded.BaseModel)


def _items(value: object) -> Sequence[object] | None:
    """Return the items of a list, tuple or set; None if `value` is not one."""
    if isinstance(value, list | tuple):
        return value
    return list(value) if isinstance(value, set | frozenset) else None


def _like_json(text: str) -> bool:
    return text.lstrip()[:1] in ("[", "{")


def _parsed(text: str) -> object:
    """Parse text that looks like JSON; None if it is not JSON."""
    try:
        return json.loads(text, object_pairs_hook=_unique)
    except (ValueError, RecursionError):
        return None


def _unique(pairs: list[tuple[str, object]]) -> dict[str, object]:
    found = dict(pairs)
    if len(found) < len(pairs):
        raise ValueError("of duplicate keys only one would be checked")
    return found


def _hide_text(text: str, depth: int) -> str:
    if not text or not _like_json(text):
        return _IN_URL.sub(rf"\1:{HIDDEN}@", text) if _IN_URL.search(text) else text
    found = _parsed(text)
    if found is None:  # malformed: the values of secret names cannot be located
        return HIDDEN if any(map(is_secret, _WORD.findall(text))) else text
    hidden = hide(found, depth + 1)
    return text if hidden is found else json.dumps(hidden, ensure_ascii=False)


def _secrets(name: object, value: object, secret: bool, depth: int) -> Iterator[str]:
    """Return the secret parts of `value` as text."""
    secret = secret or is_secret(name)
    if depth >= MAX_DEPTH:
        return
    if isinstance(value, str) and value and _like_json(value):
        if secret:
            yield value
        value = _parsed(value)
    fields = fields_of(value)
    if fields is not None:
        for key, one in fields.items():
            yield from _secrets(key, one, secret, depth + 1)
    elif (items := _items(value)) is not None:
        for one in items:
            yield from _secrets("", one, secret, depth + 1)
    elif secret and value is not None:
        yield str(value)
