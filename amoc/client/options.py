"""The options of a run as a program gives them, as arguments of ``amoc run``. Pure.

Values of settings that must not stand on a command line, where all users of the machine can read
them, go into files that the caller makes.
"""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Iterable, Mapping, Sequence
from datetime import timedelta
from typing import Any, TypeAlias

from amoc.base.redaction import hide, is_secret

Duration: TypeAlias = str | float | timedelta
"""``"1m30s"``, or a number of seconds."""
Stages: TypeAlias = str | Sequence[tuple[Duration, int]]
"""``"30s:100,2m:1000"``, or pairs of how long and how many users at its end."""
UserIds: TypeAlias = str | range
Value: TypeAlias = object
Files: TypeAlias = dict[str, str]
"""The contents of files by their paths."""


def arguments(given: Mapping[str, object]) -> list[str]:
    """The arguments that mean the options of `amoc.run` in `given`; None stands for no option.

    Raises:
        TypeError: One is of a type that it cannot be.
    """
    return [
        text
        for name, value in given.items()
        if value is not None
        for text in _FORMS.get(name, _plain)(name, value)
    ]


def settings(values: Mapping[str, Value], directory: str) -> tuple[list[str], Files]:
    """The arguments that set settings, and the files that hold what must not be seen.

    Args:
        values: By setting.
        directory: Where those files will be.

    Raises:
        TypeError: A value has no text, such as None.
    """
    made: list[str] = []
    files: Files = {}
    for name, value in values.items():
        text = setting_text(name, value)
        if text and (is_secret(name) or hide(text) is not text or text == "@-"):
            file = f"{directory}/{len(files)}"
            files[file] = f"{text}\n"
            made.append(f"--set-from-file={name}={file}")
        else:
            made.append(f"--set={name}={text}")
    return made, files


def setting_text(name: str, value: Value) -> str:
    """A setting's value as text; lists and tables as JSON.

    Raises:
        TypeError: It has none.
    """
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, timedelta):
        return str(value.total_seconds())
    if isinstance(value, str | int | float):
        return str(value)
    if isinstance(value, os.PathLike):
        return str(os.fspath(value))
    try:
        if isinstance(value, list | tuple | dict):
            return json.dumps(value)
    except (TypeError, ValueError) as error:
        raise TypeError(f"setting {name} has no text: {error}") from None
    raise TypeError(
        f"setting {name} must be a text, a number, true or false, a list or a table,"
        f" got {type(value).__name__}"
    )


def duration(name: str, value: object) -> str:
    """A duration as ``amoc run`` reads it.

    Raises:
        TypeError: It is none.
    """
    if isinstance(value, timedelta):
        value = value.total_seconds()
    if isinstance(value, str):
        return value
    if isinstance(value, int | float) and not isinstance(value, bool):
        return f"{value:.9f}".rstrip("0").rstrip(".") + "s" if value < float("inf") else "inf"
    raise TypeError(
        f"{name} must be a duration such as '30s' or a number of seconds, got {value!r}"
    )


def _option(name: str) -> str:
    return f"--{name.replace('_', '-')}"


def _plain(name: str, value: object) -> list[str]:
    if isinstance(value, os.PathLike):
        value = os.fspath(value)
    if isinstance(value, str | int) and not isinstance(value, bool):
        return [f"{_option(name)}={value}"]
    raise TypeError(f"{name} must be a text or a whole number, got {value!r}")


def _flag(name: str, value: object) -> list[str]:
    return [_option(name)] if value else []


def _duration(name: str, value: object) -> list[str]:
    return [f"{_option(name)}={duration(name, value)}"]


def _abort(name: str, value: object) -> list[str]:
    return _flag(name, value) if isinstance(value, bool) else _duration(name, value)


def _texts(name: str, value: object) -> list[str]:
    found = [value] if isinstance(value, str) else list(_iterable(name, value, "a list of texts"))
    for one in found:
        if not isinstance(one, str):
            raise TypeError(f"{name} must be a text or a list of texts, got {one!r} in it")
    return found


def _each(name: str, value: object) -> list[str]:
    return [f"{_option(name)}={one}" for one in _texts(name, value)]


def _throttles(name: str, value: object) -> list[str]:
    if not isinstance(value, Mapping):
        raise TypeError(f"{name} must be a table of names and rates, got {value!r}")
    return [f"--throttle={key}={one}" for key, one in value.items()]


def _stages(name: str, value: object) -> list[str]:
    if not isinstance(value, str):
        pairs = _iterable(name, value, "pairs of a duration and a number of users")
        value = ",".join(f"{duration(name, one)}:{users}" for one, users in pairs)
    return [f"{_option(name)}={value}"]


def _ids(name: str, value: object) -> list[str]:
    if isinstance(value, range) and value.step == 1 and value:
        value = f"{value[0]}-{value[-1]}"
    if not isinstance(value, str):
        raise TypeError(f"{name} must be a text such as '1-100', or a range, got {value!r}")
    return [f"{_option(name)}={value}"]


def _iterable(name: str, value: object, what: str) -> Iterable[Any]:
    if not isinstance(value, Iterable):
        raise TypeError(f"{name} must be a text or {what}, got {value!r}")
    return value


_FORMS: Mapping[str, Callable[[str, object], list[str]]] = {
    "abort_on_fail": _abort,
    "expect": _each,
    "options": _texts,
    "stages": _stages,
    "throttles": _throttles,
    "user_ids": _ids,
    **dict.fromkeys(("duration", "init_timeout", "stop_timeout", "warmup"), _duration),
    **dict.fromkeys(("allow_undeclared", "failures_ok", "limited_ok"), _flag),
}
"""How each option is written; the others are a text or a number."""
